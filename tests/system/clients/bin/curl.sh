#!/bin/sh
# A message is its number in the URL; another command is a request without a body.
set -eu
case $WAY in
clear) scheme=pop3 tls='' ;;
stls) scheme=pop3 tls=--ssl-reqd ;;
tls) scheme=pop3s tls='' ;;
esac
ask() {
    # shellcheck disable=SC2086 # no word when it is empty
    curl --silent --show-error --fail $tls --user "$ACCOUNT:$PASSWORD" "$@"
}
url=$scheme://$HOST:$PORT
case $1 in
version) curl --version | cut -d ' ' -f 2 | head -n 1 ;;
list) ask "$url/" | awk '{ sub("\r", ""); print "size", $0 } END { print "messages", NR }' ;;
fetch) ask --output 'mail/#1' "$url/[1-$COUNT]" ;;
delete) ask --list-only --request DELE "$url/[1-$COUNT]" ;;
esac

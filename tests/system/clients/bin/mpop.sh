#!/bin/sh
set -eu
case $WAY in
clear) tls='tls off' ;;
stls) tls='tls on
tls_starttls on' ;;
tls) tls='tls on
tls_starttls off' ;;
esac
keep=on
[ "$1" = delete ] && keep=off
mkdir -p box/new box/cur box/tmp
cat >mpoprc <<END
account there
host $HOST
port $PORT
user $ACCOUNT
password $PASSWORD
auth user
$tls
keep $keep
received_header off
delivery maildir $PWD/box
uidls_file $PWD/uidls
END
chmod 600 mpoprc
case $1 in
version) mpop --version | sed -n '1s/mpop version //p' ;;
list) mpop -C mpoprc --status-only there | sed -n 's/^new: .* total: \([0-9]*\) messages.*/messages \1/p' ;;
*) mpop -C mpoprc --quiet there && mv box/new/* mail ;;
esac

#!/bin/sh
set -eu
case $WAY in
clear) scheme=pop3 starttls=nopop3-use-starttls ;;
stls) scheme=pop3 starttls=pop3-use-starttls ;;
tls) scheme=pop3s starttls=nopop3-use-starttls ;;
esac
# Batch mode takes its commands from standard input.
run() {
    s-nail -n -# -X "set v15-compat newfolders=maildir tls-verify=strict $starttls" \
        -f "$scheme://$ACCOUNT:$PASSWORD@$HOST:$PORT"
}
case $1 in
version) s-nail --version | sed -n '1s/^s-nail v\([^,]*\),.*/\1/p' ;;
list) printf 'from *\nxit\n' | run | grep -c '' | sed 's/^/messages /' ;;
fetch) printf 'copy * %s/box\nxit\n' "$PWD" | run && mv box/new/* mail ;;
delete) printf 'delete *\nquit\n' | run ;;
esac

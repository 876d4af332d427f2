#!/bin/sh
# A terminal program: script gives it a terminal, -e types for it.
set -eu
case $WAY in
clear) scheme=pop starttls=no force=no ;;
stls) scheme=pop starttls=yes force=yes ;;
tls) scheme=pops starttls=no force=yes ;;
esac
delete=no
[ "$1" = delete ] && delete=yes
export TERM=xterm
mkdir -p box/new box/cur box/tmp
cat >muttrc <<END
set pop_host="$scheme://$ACCOUNT:$PASSWORD@$HOST:$PORT"
set pop_authenticators="user"
set pop_delete=$delete
set ssl_starttls=$starttls
set ssl_force_tls=$force
set ssl_ca_certificates_file=/etc/ssl/certs/ca-certificates.crt
set folder="$PWD"
set spoolfile="$PWD/box"
set mbox_type=Maildir
END
type_in() {
    script --quiet --return --command "stty rows 40 cols 120; mutt -n -F muttrc $1" screen \
        </dev/null >/dev/null
}
case $1 in
version) mutt -v | sed -n '1s/^Mutt \([^ ]*\).*/\1/p' ;;
list)
    type_in "-R -f $scheme://$ACCOUNT:$PASSWORD@$HOST:$PORT -e 'push <exit>'"
    grep -a -o 'Msgs:[0-9]*' screen | sed -n '$s/Msgs:/messages /p'
    ;;
*)
    type_in "-e 'push <fetch-mail><exit>'"
    mv box/new/* mail
    ;;
esac

#!/bin/sh
# Checks the certificate only when it is told of authorities. It has no STLS. It waits for each
# delivery by a signal that it can miss on a busy machine: it then fails, or stands still.
set -eu
case $WAY in
clear) tls='type = SimplePOP3Retriever' ;;
tls) tls="type = SimplePOP3SSLRetriever
ca_certs = /etc/ssl/certs/ca-certificates.crt
ssl_cert_hostname = $HOST" ;;
esac
delete=false
[ "$1" = delete ] && delete=true
mkdir -p box/new box/cur box/tmp
cat >getmailrc <<END
[retriever]
$tls
server = $HOST
port = $PORT
username = $ACCOUNT
password = $PASSWORD
[destination]
type = Maildir
path = $PWD/box/
[options]
read_all = true
delete = $delete
delivered_to = false
received = false
verbose = 2
END
retrieve() {
    for _ in 1 2 3 4; do
        rm -f box/new/*
        timeout 13 getmail --getmaildir "$PWD" && return
    done
    return 1
}
case $1 in
version) getmail --version | cut -d ' ' -f 2 ;;
list)
    retrieve >told
    sed -n -e 's|^ *msg *\([0-9]*\)/[0-9]* (\([0-9]*\) bytes).*|size \1 \2|p' \
        -e 's|^ *\([0-9]*\) messages (\([0-9]*\) bytes) retrieved.*|messages \1\noctets \2|p' told
    ;;
*) retrieve && mv box/new/* mail ;;
esac

#!/bin/sh
# Adds no Received line (invisible) and lets CR stay (nostripcr); the MDA writes what it gets.
set -eu
case $WAY in
clear) tls="sslproto ''" ;;
stls) tls="sslproto 'TLS1.2+' sslcertck" ;;
tls) tls="ssl sslcertck" ;;
esac
keep=keep
[ "$1" = delete ] && keep=nokeep
cat >deliver <<'END'
#!/bin/sh
exec cat >"$(mktemp mail/XXXXXX)"
END
chmod 700 deliver
cat >fetchmailrc <<END
set invisible
set no bouncemail
poll $HOST protocol pop3 port $PORT bad-header accept
  username "$ACCOUNT" password "$PASSWORD" is reader here
  $tls $keep fetchall norewrite nostripcr nomimedecode nodropstatus
  mda "$PWD/deliver"
END
chmod 600 fetchmailrc
fetchmail() { command fetchmail -f fetchmailrc --pidfile "$PWD/pid" "$@"; }
case $1 in
version) command fetchmail --version 2>/dev/null | sed -n '1s/.*release \([0-9.]*\).*/\1/p' ;;
list) fetchmail --check | sed -n 's/^\([0-9]*\) messages for .* (\([0-9]*\) octets).*/messages \1\noctets \2/p' ;;
*) fetchmail --silent ;;
esac

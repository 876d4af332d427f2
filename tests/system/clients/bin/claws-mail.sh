#!/bin/bash
# A graphical program: Xvfb gives it a screen, and xdotool types the password that it asks for.
set -eu
case $WAY in
clear) tls=0 ;;
stls) tls=2 ;;
tls) tls=1 ;;
esac
remove=0
[ "$1" = delete ] && remove=1
export HOME=$PWD
own=.claws-mail
mkdir -p $own box/inbox
touch $own/claws.log
cat >$own/clawsrc <<END
[Common]
check_on_startup=0
no_recv_err_panel=1
close_recv_dialog=1
END
cat >$own/accountrc <<END
[Account: 1]
account_name=there
is_default=1
address=reader@example.org
protocol=0
receive_server=$HOST
user_id=$ACCOUNT
set_popport=1
pop_port=$PORT
ssl_pop=$tls
remove_mail=$remove
message_leave_time=0
message_leave_hour=0
inbox=#mh/Mailbox/inbox
receive_at_get_all=1
END
cat >$own/folderlist.xml <<END
<?xml version="1.0" encoding="UTF-8"?>
<folderlist><folder type="mh" name="Mailbox" path="box">
<folderitem type="inbox" name="inbox" path="inbox"/></folder></folderlist>
END
cat >receive <<END
claws-mail --receive-all >out 2>&1 &
window=\$(xdotool search --sync --onlyvisible --name 'Input password' | head -n 1)
xdotool windowfocus --sync "\$window" type '$PASSWORD'
xdotool key Return
tail -n +1 -F $own/claws.log 2>/dev/null | grep -m 1 -q -e 'POP. QUIT' -e '\*\*'
claws-mail --exit
wait %1
END
case $1 in
version) claws-mail --version | sed -n '1s/.*version //p' ;;
list)
    xvfb-run -a bash -eu receive
    sed -n 's/.*POP. +OK \([0-9]*\) \([0-9]*\)$/messages \1\noctets \2/p' $own/claws.log | head -n 2
    ;;
*)
    xvfb-run -a bash -eu receive
    find box/inbox -type f -name '[0-9]*' -exec mv -t mail {} +
    ;;
esac

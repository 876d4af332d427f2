"""The stub's faults, and the rules of the scorecard that find each."""

FAULTS = {
    "APOP's timestamp is always the same": "1939-apop-timestamps-differ 1939-apop-wrong-digest",
    "replies end with LF": "1939-lines-end-with-crlf",
    "LANG does not keep the protocol": "6856-lang-in-both-states 6856-lang-keeps-the-protocol",
    "unknown users are told": "hostile-unknown-user-is-not-told",
    "the greeting is not positive": "1939-greeting-is-positive 8314-implicit-tls-session",
    "NUL ends a line": "hostile-nul-in-commands hostile-nul-in-a-name hostile-nul-in-a-password",
    "blanks before a command are left out": "hostile-empty-lines",
    "8-bit octets are left out of commands": (
        "1939-list-refuses-no-numbers 1939-uidl-refuses-no-numbers hostile-eight-bit-commands"
    ),
    "empty lines are passed over": "hostile-empty-lines hostile-bare-lf",
    "keywords depend on case": "1939-keywords-are-case-insensitive 2449-capa-arguments",
    "keywords may be longer": (
        "1939-unknown-command-before-login 1939-unknown-command-after-login "
        "hostile-nul-in-commands hostile-bare-cr"
    ),
    "NOOP before login": "1939-nothing-but-login-before-login",
    "USER after login": "1939-no-second-login",
    "STLS after login": "2595-no-stls-after-login",
    "AUTH after login": "5034-no-auth-after-login",
    "UTF8 after login": "6856-utf8-after-login",
    "USER needs no name": "1939-arguments-are-needed-before-login",
    "more arguments are passed over": (
        "1939-no-argument-where-none-is-taken 1939-one-argument-too-many 1939-dele-arguments "
        "1939-top-arguments 2449-capa-arguments 2595-stls-arguments 6856-utf8-arguments "
        "6856-lang-unknown"
    ),
    "RETR needs no number": "1939-arguments-are-needed",
    "unknown commands are accepted": (
        "1939-unknown-command-after-login 1939-no-second-login 2449-pipelining "
        "2449-response-codes 2449-command-of-255-octets 2595-no-stls-after-login "
        "5034-no-auth-after-login 6856-utf8-after-login hostile-endless-line-after-login "
        "hostile-long-line-is-one-line hostile-endless-number hostile-nul-in-commands "
        "hostile-eight-bit-commands hostile-empty-lines hostile-bare-cr"
    ),
    "controls are echoed": "hostile-controls-are-not-echoed",
    "long replies": "1939-replies-are-not-too-long",
    "a code is no code": "2449-response-codes",
    "a drop deletes": (
        "1939-drop-deletes-nothing 1939-unfinished-quit hostile-drop-in-the-middle-of-retr"
    ),
    "a drop keeps the lock": "1939-lock-is-let-go-at-a-drop",
    "controls of a name are echoed": "hostile-controls-are-not-echoed",
    "unknown names are told at USER": "1939-last-name-counts hostile-unknown-user-is-not-told",
    "PASS needs no USER": (
        "1939-pass-needs-user 1939-refused-pass-forgets-the-name 2595-stls-forgets-the-name "
        "2595-stls-throws-names-away"
    ),
    "a refused PASS keeps the name": "1939-refused-pass-forgets-the-name",
    "names are paths": "hostile-names-that-are-paths",
    "blanks at a password's end are left out": "1939-blank-at-the-end-of-a-password",
    "NUL ends a password": "hostile-nul-in-a-password",
    "NUL ends a name": "hostile-nul-in-a-name",
    "passwords may be longer": (
        "1939-wrong-password 1939-login-after-a-refused-one 1939-refused-pass-forgets-the-name "
        "1939-blank-at-the-end-of-a-password hostile-nul-in-a-password"
    ),
    "the name does not matter": (
        "1939-unknown-user hostile-nul-in-a-name hostile-names-that-are-paths hostile-long-names"
    ),
    "second sessions are let in": "1939-maildrop-is-locked",
    "a lock is AUTH": "2449-in-use 3206-lock-is-no-matter-of-credentials",
    "no IN-USE": "2449-in-use",
    "APOP takes any digest": "1939-apop-wrong-digest 1939-apop-arguments",
    "AUTH alone lists others": "5034-auth-alone",
    "STLS in TLS": "2595-no-stls-in-tls 8314-implicit-tls-has-no-stls",
    "STLS keeps the name": "2595-stls-forgets-the-name",
    "LANG lists bare tags": "6856-lang-lists",
    "LANG * is unknown": "6856-lang-star",
    "LANG takes any language": "6856-lang-unknown",
    "LANG does not name the tag": "6856-lang-chooses 6856-lang-star",
    "USER is not announced after login": "2449-capabilities-stay",
    "CAPA in TLS is short": "2595-capa-after-stls",
    "STLS is announced in TLS": "2595-no-stls-in-tls 8314-implicit-tls-has-no-stls",
    "no CAPA after login": "2449-capa-in-both-states 2449-capa-lines 2449-capabilities-once",
    "numbers may be negative": (
        "1939-list-refuses-no-numbers 1939-retr-refuses-no-numbers 1939-dele-refuses-no-numbers "
        "1939-top-refuses-no-numbers 1939-uidl-refuses-no-numbers 1939-top-arguments"
    ),
    "numbers have a sign": (
        "1939-list-refuses-no-numbers 1939-retr-refuses-no-numbers 1939-dele-refuses-no-numbers "
        "1939-top-refuses-no-numbers 1939-uidl-refuses-no-numbers 1939-top-arguments"
    ),
    "numbers wrap": (
        "1939-list-refuses-no-numbers 1939-retr-refuses-no-numbers 1939-dele-refuses-no-numbers "
        "1939-top-refuses-no-numbers 1939-uidl-refuses-no-numbers"
    ),
    "numbers are read to the first other character": (
        "1939-list-refuses-no-numbers 1939-retr-refuses-no-numbers 1939-dele-refuses-no-numbers "
        "1939-top-refuses-no-numbers 1939-uidl-refuses-no-numbers"
    ),
    "numbers have any digits": (
        "1939-list-refuses-no-numbers 1939-retr-refuses-no-numbers 1939-dele-refuses-no-numbers "
        "1939-top-refuses-no-numbers 1939-uidl-refuses-no-numbers"
    ),
    "the snapshot moves": (
        "1939-a-session-sees-a-snapshot 1939-stat-without-the-deleted 1939-delete-all"
    ),
    "STAT counts deleted mail": "1939-stat-without-the-deleted 1939-delete-all",
    "STAT is wrong": "1939-stat-and-list-agree 1939-stat-without-the-deleted",
    "STAT runs into words": "1939-stat-has-two-numbers",
    "LIST fails on an empty maildrop": (
        "1939-lines-end-with-crlf 1939-keywords-are-case-insensitive 1939-empty-maildrop"
    ),
    "LIST leaves one out": (
        "1939-stat-and-list-agree 1939-dele-leaves-the-others 1939-quit-deletes 1939-delete-all "
        "1939-uidl-lists-all"
    ),
    "numbers begin with 0": (
        "1939-list-of-one-message 1939-numbers-begin-with-one 1939-stat-without-the-deleted "
        "1939-dele-leaves-the-others 1939-quit-deletes 1939-delete-all 1939-uidl-of-one-message"
    ),
    "UIDL leaves one out": "1939-uidl-lists-all 1939-uidl-of-copies 1939-uidl-is-not-reused",
    "RETR gives another message": (
        "1939-list-tells-the-octets 1939-each-number-its-own 1939-top-is-the-beginning-of-retr "
        "2595-stls-session 8314-implicit-tls-session hostile-message-empty "
        "hostile-message-that-vanished hostile-message-that-moved"
    ),
    "RETR deletes": "1939-retr-may-be-repeated 1939-top-is-the-beginning-of-retr",
    "TOP takes any lines": "1939-top-arguments",
    "TOP needs a blank line": "1939-top-without-blank-line",
    "TOP counts the header": (
        "1939-top-counts-body-lines 1939-top-with-too-many-lines 1939-top-stuffs"
    ),
    "TOP has no blank line": (
        "1939-top-without-lines 1939-top-counts-body-lines 1939-top-with-too-many-lines "
        "1939-top-stuffs"
    ),
    "TOP has a limit": "1939-top-with-too-many-lines 1939-top-without-blank-line",
    "vanished mail is empty": "hostile-message-that-vanished",
    "vanished mail is fatal": "hostile-message-that-vanished",
    "SYS codes are odd": "3206-sys-codes-say-which",
    "UTF-8 goes to everybody": "6856-utf8-message-without-utf8",
    "no UTF8 code": "6856-utf8-message-without-utf8",
    "nothing is stuffed": (
        "1939-dot-first 1939-dot-alone 1939-dot-begins 1939-dot-last 1939-dot-unended "
        "1939-top-counts-body-lines 1939-top-stuffs hostile-message-stored-with-crlf "
        "hostile-message-long-line hostile-message-many-dots hostile-message-false-replies "
        "hostile-message-edge-4096 hostile-message-edge-8192 hostile-message-edge-65536"
    ),
    "a first dot is not stuffed": "1939-dot-first 1939-top-stuffs",
    "a final CRLF is missing": (
        "hostile-message-one-octet hostile-message-one-newline hostile-message-that-moved"
    ),
    "RSET keeps marks": "1939-rset-takes-marks-away 1939-rset-then-quit hostile-losers-do-no-harm",
    "the status runs on": "1939-status-indicators-are-upper-case",
    "the connection stays open after QUIT": (
        "1939-quit-before-login hostile-nothing-after-early-quit"
    ),
    "what follows QUIT is answered": "1939-quit-before-login hostile-nothing-after-early-quit",
    "QUIT deletes late": (
        "1939-quit-deletes "
        "1939-quit-deletes-before-it-answers "
        "1939-delete-all "
        "1939-uidl-is-not-reused "
        "1939-uidl-survives-deletion"
    ),
    "QUIT deletes nothing": (
        "1939-quit-deletes 1939-quit-deletes-before-it-answers 1939-delete-all "
        "1939-uidl-is-not-reused 1939-uidl-survives-deletion"
    ),
    "a lock outlives QUIT": ("1939-lock-is-let-go-at-quit"),
    "strange files fail the listing": "hostile-dangling-link-in-the-maildir",
    "links are followed": "hostile-link-gives-nothing-away",
    "a socket fails the login": "hostile-socket-in-the-maildir",
    "LIST tells stored octets": "1939-list-tells-the-octets",
    "LIST counts stuffing": (
        "hostile-message-stored-with-crlf hostile-message-long-line hostile-message-many-dots "
        "hostile-message-false-replies hostile-message-edge-4096 hostile-message-edge-8192 "
        "hostile-message-edge-65536"
    ),
    "LIST is short without a final newline": (
        "hostile-message-no-final-newline hostile-message-no-final-newline-crlf "
        "hostile-message-one-octet hostile-message-empty"
    ),
    "LIST is wrong for empty mail": "hostile-message-empty",
    "sizes in names are believed": "hostile-false-size-in-a-name",
    "NULs are left out": "hostile-message-nul",
    "8-bit octets are made 7-bit": (
        "6856-utf8-message 6856-eight-bit-body-without-utf8 hostile-message-eight-bit"
    ),
    "long messages are cut": (
        "hostile-message-long-line hostile-message-many-newlines hostile-message-edge-65536"
    ),
    "long lines are wrapped": (
        "hostile-message-long-line hostile-message-many-dots hostile-message-edge-4096 "
        "hostile-message-edge-8192 hostile-message-edge-65536"
    ),
    "a CR is made CRLF": "hostile-message-bare-cr",
    "messages keep LF": "1939-each-number-its-own hostile-message-that-vanished",
    "CRLF becomes CRCRLF": (
        "hostile-message-no-final-newline-crlf hostile-message-stored-with-crlf "
        "hostile-message-mixed-line-ends hostile-message-edge-4096 hostile-message-edge-8192 "
        "hostile-message-edge-65536"
    ),
    "UIDL changes between sessions": (
        "1939-uidl-is-stable 1939-uidl-survives-reading 1939-uidl-survives-flags "
        "1939-uidl-is-not-reused 1939-uidl-survives-deletion"
    ),
    "UIDL has the flags": "1939-uidl-survives-reading 1939-uidl-survives-flags",
    "UIDL is long": "1939-uidl-characters",
    "UIDL has blanks": "1939-uidl-characters 1939-uidl-is-not-reused 1939-uidl-survives-deletion",
    "UIDL is the same for all": "1939-uidl-is-unique 1939-uidl-of-copies 1939-uidl-is-not-reused",
    "UIDL is a hash of the text": "1939-uidl-of-copies",
    "UIDL is the number": "1939-uidl-is-not-reused 1939-uidl-survives-deletion",
    "DELE renumbers": (
        "1939-list-without-the-deleted 1939-uidl-without-the-deleted 1939-dele-leaves-the-others"
    ),
    "QUIT deletes too much": (
        "1939-quit-deletes 1939-quit-deletes-before-it-answers 1939-uidl-is-not-reused "
        "1939-uidl-survives-deletion"
    ),
    "any mechanism begins": "5034-unknown-mechanism",
    "= is no empty response": "5034-empty-initial-response",
    "challenges have no blank": (
        "5034-every-mechanism-begins 5034-mechanisms-case 5034-cancel 5034-bad-base64 "
        "5034-commands-within-an-exchange 5034-login-after-refused-auth 5034-long-response "
        "5034-plain-without-initial-response 5034-login-mechanism 5034-login-mechanism-wrong "
        "7677-scram 5802-scram-wrong 5802-scram-nonce hostile-scram-salt-of-nobody "
        "hostile-endless-response"
    ),
    "* does not cancel": "5034-every-mechanism-begins 5034-cancel 5034-login-after-refused-auth",
    "base64 is not checked": "5034-bad-base64",
    "AUTH lets everybody in": (
        "4616-plain-wrong 4616-plain-form 5034-login-mechanism-wrong hostile-odd-octets-in-plain"
    ),
    "PLAIN needs one NUL": "4616-plain-form",
    "PLAIN lets nobody in as herself": "4616-plain-as-oneself",
    "PLAIN lets in as another": "4616-plain-as-another",
    "nobody's salt changes": "hostile-scram-salt-of-nobody",
    "SCRAM takes any nonce": "5802-scram-nonce",
    "SCRAM lets everybody in": "5802-scram-wrong 5802-scram-nonce",
    "SCRAM has no proof of the server's": "7677-scram",
    "clear text on the TLS port": (
        "8314-implicit-tls-session 8314-implicit-tls-has-no-stls 8314-implicit-tls-only "
        "8314-modern-tls 8314-tls-ends-in-order"
    ),
    "STLS keeps the buffer": (
        "2595-stls-throws-commands-away 2595-stls-throws-a-part-away 2595-stls-throws-names-away"
    ),
    "STLS keeps a part of a line": "2595-stls-throws-a-part-away",
    "a CR ends a line": "hostile-bare-cr hostile-cut-crlf",
    "pipelined commands are lost": ("2449-pipelining hostile-pipelined-commands"),
    "a long line is cut": "hostile-long-line-is-one-line",
    "a line needs no end": "1939-unfinished-quit",
    "no close_notify": "8314-tls-ends-in-order",
    "TOP is hidden": "2449-nothing-hidden-after-login",
    "UTF8 is hidden": "2449-nothing-hidden-before-login",
    "EXPIRE is wrong": "2449-expire-parameters",
    "LOGIN-DELAY is not kept": "2449-login-delay-is-kept",
    "LOGIN-DELAY is wrong": "2449-login-delay-parameters",
    "SASL is wrong": (
        "2449-sasl-parameters 5034-every-mechanism-begins 5034-auth-alone 5034-mechanisms-case "
        "5034-cancel 5034-bad-base64 5034-commands-within-an-exchange "
        "5034-login-after-refused-auth 5034-long-response hostile-endless-response"
    ),
    "SASL lies": "5034-every-mechanism-begins 5034-auth-alone",
    "CAPA has two blanks": "2449-capa-lines",
    "CAPA names one twice": "2449-capabilities-once",
    "IMPLEMENTATION is many words": "2449-implementation-parameter",
    "RESP-CODES are hidden": "2449-no-response-codes 3206-auth-resp-code-needs-resp-codes",
    "AUTH-RESP-CODE is hidden": "3206-auth-code-is-announced",
    "UTF8 has a parameter": "6856-utf8-parameters",
    "LIST 0 is message 1": (
        "1939-list-refuses-no-numbers 2449-pipelining hostile-pipelined-commands"
    ),
    "LIST of deleted mail": "1939-list-of-a-deleted-message",
    "RETR 0 is message 1": "1939-retr-refuses-no-numbers",
    "RETR of deleted mail": "1939-retr-of-a-deleted-message hostile-losers-do-no-harm",
    "TOP 0 is message 1": "1939-top-refuses-no-numbers",
    "TOP of deleted mail": "1939-top-of-a-deleted-message",
    "DELE 0 is message 1": "1939-dele-refuses-no-numbers",
    "DELE of deleted mail": "1939-second-dele",
    "UIDL 0 is message 1": "1939-uidl-refuses-no-numbers",
    "UIDL of deleted mail": "1939-uidl-of-a-deleted-message",
    "LIST of one is another": "1939-list-of-one-message",
    "UIDL of one is another": "1939-uidl-of-one-message",
    "LIST lists deleted mail": "1939-list-without-the-deleted 1939-dele-leaves-the-others",
    "UIDL lists deleted mail": "1939-uidl-without-the-deleted",
    "LIST has two blanks": "1939-scan-listing-form",
    "RETR does not stuff": (
        "1939-dot-first 1939-dot-alone 1939-dot-begins 1939-dot-last 1939-dot-unended "
        "1939-top-with-too-many-lines hostile-message-stored-with-crlf hostile-message-long-line "
        "hostile-message-many-dots hostile-message-false-replies hostile-message-edge-4096 "
        "hostile-message-edge-8192 hostile-message-edge-65536"
    ),
    "TOP does not stuff": "1939-top-counts-body-lines 1939-top-with-too-many-lines 1939-top-stuffs",
    "no AUTH for a wrong password": (
        "3206-auth-code-for-a-wrong-password 4616-plain-wrong hostile-unknown-user-is-not-told"
    ),
    "no AUTH for an unknown user": (
        "3206-auth-code-for-an-unknown-user hostile-unknown-user-is-not-told"
    ),
}

_NO_FAULT = {
    "what every other check begins with: without it nothing can be tried": (
        "1939-user-alone-is-no-login 1939-noop "
        "1939-quit-after-login 1939-dele "
        "1939-retr-gives-the-message 1939-multi-line-replies-end-with-a-dot "
        "2449-top-is-there 2449-user-is-there "
        "2449-uidl-is-there 6856-utf8-before-login "
    ),
    "about what a login may have, and the stub's account has it": (
        "1939-blanks-in-a-password 1939-apop-right-digest "
        "5034-plain-with-initial-response 6856-utf8-user "
        "6856-utf8-message-is-counted "
    ),
    "OpenSSL's part, which is not broken here": ("2595-no-tls-after-stls 8314-no-old-tls "),
    "that a server survives, and the stub's threads do": (
        "hostile-endless-line-before-login hostile-format-strings "
        "hostile-long-password hostile-nothing-after-quit "
    ),
    "more of what a rule beside it has a fault for": (
        "hostile-message-headers-only hostile-message-body-only "
        "hostile-message-controls hostile-message-from-lines "
        "hostile-fifo-in-the-maildir hostile-link-to-a-file-in-the-maildir "
        "hostile-folder-in-the-maildir hostile-odd-file-names "
        "hostile-octet-by-octet hostile-half-closed-connection "
        "2449-pipelined-session "
    ),
}
"""Rules that no fault here breaks, by the reason: it is ..."""

NO_FAULT_FOR = {name: why for why, names in _NO_FAULT.items() for name in names.split()}

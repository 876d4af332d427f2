"""Every text that a POP3 client is told, in every language (RFC 6856 section 3).

A ``Text`` is what is said; a ``Language`` says it. What goes out for nearly every session is made
once a language, as octets that are ready to send.
"""

from __future__ import annotations

import unicodedata
from enum import Enum, unique

from lineproto.reply import Err, Ok, Ready

DONE = Ready(Ok().encode())
"""The answer that needs no words."""


@unique
class Text(Enum):
    """A reply's text in English and in Spanish; both have the same ``{placeholders}``."""

    GREETING = (
        "POP3 {host} {product} v{version} server ready",
        "POP3 {host} {product} v{version}, servidor listo",
    )
    TOO_MANY_CONNECTIONS = (
        "too many connections, try again later",
        "demasiadas conexiones, inténtelo más tarde",
    )
    TURNED_AWAY = (
        "connections from your address are not allowed here",
        "aquí no se permiten conexiones desde su dirección",
    )
    STOPPING = "server is stopping", "el servidor se está deteniendo"
    INTERNAL_ERROR = "internal error {number}", "error interno {number}"

    # --- what is no command --------------------
    UNKNOWN_COMMAND = "unknown command", "comando desconocido"
    LINE_TOO_LONG = "command line too long", "línea de comando demasiado larga"
    TOO_MANY_BAD_COMMANDS = (
        "too many bad commands, closing",
        "demasiados comandos erróneos, se cierra la conexión",
    )
    TAKES_NO_ARGUMENT = "{keyword} takes no argument", "{keyword} no admite argumentos"
    USAGE_USER = "usage: USER name", "uso: USER nombre"
    USAGE_PASS = "usage: PASS password", "uso: PASS contraseña"
    USAGE_MESSAGE = "usage: {keyword} message", "uso: {keyword} mensaje"
    USAGE_OPTIONAL_MESSAGE = "usage: {keyword} [message]", "uso: {keyword} [mensaje]"
    USAGE_TOP = "usage: TOP message lines", "uso: TOP mensaje líneas"
    USAGE_LANG = "usage: LANG [language]", "uso: LANG [idioma]"
    WRONG_STATE = "not allowed in {state} state", "no se permite en el estado {state}"

    # --- login --------------------
    NAME_ACCEPTED = (
        "User name accepted, send PASS command",
        "Nombre de usuario aceptado, envíe el comando PASS",
    )
    SEND_USER_FIRST = "send USER first", "envíe primero USER"
    LOGGED_IN = "Logged in", "Sesión iniciada"
    WRONG_LOGIN = "wrong name or password", "nombre o contraseña incorrectos"
    TOO_MANY_WRONG_LOGINS = (
        "too many wrong logins, try again later",
        "demasiados intentos de acceso fallidos, inténtelo más tarde",
    )
    NO_PLAINTEXT_USE_TLS = (
        "no password in clear text here, use STLS or the TLS port (995, 1995) first",
        "aquí no se admiten contraseñas sin cifrar, use antes STLS o el puerto TLS (995, 1995)",
    )
    NO_PLAINTEXT = (
        "no password in clear text here, and this server has no TLS",
        "aquí no se admiten contraseñas sin cifrar, y este servidor no tiene TLS",
    )
    USAGE_APOP = "usage: APOP name digest", "uso: APOP nombre resumen"
    APOP_NOT_OFFERED = (
        "APOP is not offered: the greeting had no timestamp",
        "APOP no se ofrece: el saludo no llevaba marca de tiempo",
    )
    USAGE_AUTH = (
        "usage: AUTH [mechanism [initial-response]]",
        "uso: AUTH [mecanismo [respuesta-inicial]]",
    )
    MECHANISMS = "mechanisms follow", "siguen los mecanismos"
    MECHANISM_NOT_OFFERED = (
        "this mechanism is not offered here",
        "este mecanismo no se ofrece aquí",
    )
    AUTH_CANCELLED = "authentication cancelled", "autenticación cancelada"
    NOT_BASE64 = "not base64", "no es base64"
    BAD_MESSAGE = (
        "that is no message of this mechanism",
        "ese no es un mensaje de este mecanismo",
    )
    MESSAGE_TOO_LONG = "line too long", "línea demasiado larga"
    TOO_MANY_BAD_MESSAGES = (
        "too many bad messages, closing",
        "demasiados mensajes erróneos, se cierra la conexión",
    )
    ONLY_AS_YOURSELF = (
        "you can log in as yourself only",
        "solo puede iniciar sesión en nombre propio",
    )
    PASSWORD_EXPIRED = (
        "your password has expired, change it over SCMP or pop3ctl first",
        "su contraseña ha caducado, cámbiela antes por SCMP o pop3ctl",
    )
    PASSWORD_MUST_CHANGE = (
        "your password must be changed first, over SCMP or pop3ctl",
        "antes debe cambiar su contraseña, por SCMP o pop3ctl",
    )
    LOGIN_TOO_SOON = (
        "you logged in a moment ago, try again later",
        "ha iniciado sesión hace un momento, inténtelo más tarde",
    )
    NOT_PERMITTED = "this account may not do that", "esta cuenta no tiene permiso para eso"
    ACCOUNT_SUSPENDED = "this account is suspended", "esta cuenta está suspendida"
    ADDRESS_DENIED = (
        "this account may not log in from your address",
        "esta cuenta no puede iniciar sesión desde su dirección",
    )
    NO_MAILDROP = "this account has no maildrop", "esta cuenta no tiene buzón"
    MAILDROP_IN_USE = (
        "maildrop is in use by another session",
        "otra sesión está usando el buzón",
    )
    BEGIN_TLS = "begin TLS negotiation now", "comience ahora la negociación TLS"
    TLS_NOT_OFFERED = (
        "TLS is active already, or not offered here",
        "TLS ya está activo, o aquí no se ofrece",
    )
    TLS_UNAVAILABLE = "TLS is not available now", "TLS no está disponible ahora"
    UTF8_ON = "UTF-8 mode is on", "el modo UTF-8 está activado"
    CAPABILITIES = "Capability list follows", "Sigue la lista de capacidades"

    # --- languages --------------------
    LANGUAGES = "Language list follows", "Sigue la lista de idiomas"
    LANGUAGE_CHANGED = "{tag} Language changed", "{tag} Idioma cambiado"
    UNKNOWN_LANGUAGE = (
        "language is not available, LANG lists those that are",
        "ese idioma no está disponible, LANG muestra los que hay",
    )

    # --- the maildrop --------------------
    SIZES = "{count} messages ({octets} octets)", "mensajes: {count} ({octets} octetos)"
    SIZES_PENDING = (
        "sizes are being computed, {done} of {total}, ask again soon",
        "se están calculando los tamaños, {done} de {total}, vuelva a preguntar pronto",
    )
    UNIQUE_IDS = "unique-id listing follows", "sigue la lista de identificadores únicos"
    NO_SUCH_MESSAGE = (
        "no such message, there are {count}",
        "no existe ese mensaje, hay {count}",
    )
    IS_DELETED = "message {number} is deleted", "el mensaje {number} está eliminado"
    MESSAGE = "{octets} octets", "{octets} octetos"
    TOP_OF_MESSAGE = "top of message follows", "sigue el comienzo del mensaje"
    NEEDS_UTF8 = (
        "this message is for clients that have said UTF8",
        "este mensaje es para clientes que hayan enviado UTF8",
    )
    MESSAGE_GONE = (
        "the message was removed or changed by another program",
        "otro programa ha eliminado o cambiado el mensaje",
    )
    MAIL_UNAVAILABLE = (
        "mail cannot be read now, try again later",
        "ahora no se puede leer el correo, inténtelo más tarde",
    )
    MAIL_DAMAGED = (
        "this maildrop needs the postmaster, please tell them",
        "este buzón necesita al administrador, avísele",
    )
    TRANSFORM_FAILED = (
        "the message could not be transformed",
        "no se ha podido transformar el mensaje",
    )
    DELETED = "message {number} deleted", "mensaje {number} eliminado"
    ALL_KEPT = "maildrop has {count} messages", "mensajes en el buzón: {count}"

    # --- the end --------------------
    BYE = "bye", "adiós"
    BYE_DELETED = "{count} messages deleted, bye", "mensajes eliminados: {count}, adiós"
    NOT_ALL_DELETED = (
        "{failed} of {count} deleted messages not removed",
        "no se han podido eliminar {failed} de los {count} mensajes",
    )
    UNAVAILABLE = (
        "the service cannot do this now, try again later",
        "el servicio no puede hacerlo ahora, inténtelo más tarde",
    )

    __hash__ = object.__hash__  # that of Enum is a function in Python, and a text is a key

    def __init__(self, en: str, es: str) -> None:
        self.en = en
        self.es = es


class Language:
    """Says texts in one language; ``tag`` is RFC 5646's, ``name`` what it calls itself.

    ``in_ascii`` is the same without accents, for who has not asked for more than ASCII.
    """

    __slots__ = (
        "_texts",
        "bye",
        "deleted",
        "in_ascii",
        "logged_in",
        "name",
        "name_accepted",
        "octets",
        "tag",
    )

    def __init__(self, tag: str, name: str, texts: dict[Text, str]) -> None:
        self.tag = tag
        self.name = name
        self._texts = texts
        self.bye = Ready(self.ok(Text.BYE).encode())
        self.name_accepted = Ready(self.ok(Text.NAME_ACCEPTED).encode())
        self.logged_in = Ready(self.ok(Text.LOGGED_IN).encode())
        self.deleted = _numbered(texts[Text.DELETED], "{number}")
        self.octets = _numbered(texts[Text.MESSAGE], "{octets}")
        self.in_ascii = self if self._is_ascii() else self._without_accents()

    def say(self, text: Text, /, **arguments: object) -> str:
        """Give a text with its placeholders filled in."""
        return self._texts[text].format_map(arguments)

    def ok(self, text: Text, /, **arguments: object) -> Ok:
        """Give a positive reply."""
        return Ok(self._texts[text].format_map(arguments))

    def err(self, text: Text, code: str | None = None, /, **arguments: object) -> Err:
        """Give a negative reply; ``code`` is a response code such as ``IN-USE``."""
        return Err(self._texts[text].format_map(arguments), code)

    def _is_ascii(self) -> bool:
        return all(text.isascii() for text in self._texts.values())

    def _without_accents(self) -> Language:
        return Language(self.tag, self.name, {key: _ascii(it) for key, it in self._texts.items()})


def _numbered(text: str, placeholder: str) -> bytes:
    """Make a positive reply that ``%`` fills in with a number."""
    return Ok(text.replace(placeholder, "%d")).encode()


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode("ascii")


ENGLISH = Language("en", "English", {text: text.en for text in Text})
SPANISH = Language("es", "Español", {text: text.es for text in Text})
LANGUAGES = {language.tag: language for language in (ENGLISH, SPANISH)}


def find_language(wanted: str) -> Language | None:
    """Look a basic language range up (RFC 4647 section 3.4): ``es-mx`` finds ``es``."""
    while wanted not in LANGUAGES:
        wanted, _, _ = wanted.rpartition("-")
        if not wanted:
            return None
        if wanted[-2:-1] == "-":  # a lone letter means nothing without what followed it
            wanted = wanted[:-2]
    return LANGUAGES[wanted]

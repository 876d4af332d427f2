/*
 * load: a POP3 load generator that checks every reply.
 *
 * One thread, epoll, non-blocking. Each client plays one script of commands over and over, each
 * time as the next user of its own, so that no two clients are in one maildrop at a time. What a
 * reply must say is known beforehand: how many messages there are, their octets in CRLF form and
 * their CRC-32. It prints one JSON object; "errors" counts the sessions that were not right.
 *
 * With --hold it logs in as many sessions as a number on its standard input says, answers with
 * {"held": N}, holds them all, and ends them in order at the end of its input.
 *
 * Build: gcc -O2 -o load load.c -lssl -lcrypto
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE_LIMIT 1024         /* octets of a status line or a line of a listing */
#define DEPTH_LIMIT 64          /* commands in one write */
#define OUT_SIZE (DEPTH_LIMIT * 32 + 256)
#define READ_SIZE (256 * 1024)
#define SOURCES 16              /* addresses 127.0.0.1 onwards: more ports than one address has */
#define ERRORS_SHOWN 5
#define ERROR_SIZE 256
#define ERRORS_LIMIT 1000       /* so many say enough */

enum verb { USER, PASS, STAT, LIST, UIDL, RETR, DELE, NOOP, QUIT, VERBS };
static const char *const VERB_NAMES[VERBS] = {"USER", "PASS", "STAT", "LIST", "UIDL",
                                              "RETR", "DELE", "NOOP", "QUIT"};

struct command {
    enum verb verb;
    unsigned number; /* its argument, 0 for none */
    char text[32];
    int length;
};

struct message {
    uint64_t octets; /* in CRLF form, before stuffing */
    uint32_t crc;
};

enum state { ABSENT, CONNECTING, HANDSHAKE, GREETING, TALKING, HOLDING, CLOSING };
enum part { STATUS_LINE, LISTING, BODY };
enum place { IN_LINE, LINE_START, AFTER_DOT, AFTER_DOT_CR };

struct client {
    int fd;
    SSL *ssl;
    enum state state;
    uint32_t waits_for; /* epoll events it is registered for */
    unsigned index, turn, user;
    unsigned sent, answered; /* positions in the script */
    double start_s;

    enum part part;
    char line[LINE_LIMIT];
    int line_length;
    unsigned listed; /* lines of the listing so far */

    enum place place;
    int last_was_cr;
    uint64_t octets;
    uint32_t crc;
    int sums; /* whether this message's CRC is taken */

    char out[OUT_SIZE];
    int out_length, out_done;
};

/* --- what it was asked for -------------------------------------------------------------- */

static const char *host = "127.0.0.1", *users = "u%05u", *password = "secret";
static int port, use_tls, once, hold;
static unsigned client_count = 1, first_user, user_count = 1, depth = 1, at_once = 64;
static unsigned checksum_every = 1;
static double seconds = 5, grace_s = 30; /* for sessions under way when time is over */

static struct command *script;
static unsigned script_length, login_length; /* the login is the commands to PASS */
static struct message *messages;
static unsigned message_count;
static uint64_t total_octets;

/* --- what came out ---------------------------------------------------------------------- */

static uint64_t done_sessions, done_commands, done_octets, errors, checked_sums, retrieved;
static char shown[ERRORS_SHOWN][ERROR_SIZE];
static float *latencies_ms;
static size_t latency_room, latency_count;
static int over; /* time is over: what ends now counts in no rate */
static char tls_facts[128];

static struct client *clients;
static unsigned present, held, next_user;
static int epoll_fd;
static SSL_CTX *tls_context;
static char input[READ_SIZE];

static double now_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static double used_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void fail(const char *text, const char *about) {
    fprintf(stderr, "load: %s%s%s\n", text, about ? ": " : "", about ? about : "");
    exit(2);
}

/* --- CRC-32 as zlib's, eight octets at a time --------------------------------------------- */

static uint32_t crc_table[8][256];

static void make_crc_table(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t crc = n;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
        crc_table[0][n] = crc;
    }
    for (uint32_t n = 0; n < 256; n++)
        for (int k = 1; k < 8; k++)
            crc_table[k][n] =
                crc_table[0][crc_table[k - 1][n] & 0xFF] ^ (crc_table[k - 1][n] >> 8);
}

static uint32_t add_to_crc(uint32_t crc, const char *data, size_t length) {
    const unsigned char *octets = (const unsigned char *)data;
    crc = ~crc;
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, octets, 8);
        word ^= crc;
        crc = crc_table[7][word & 0xFF] ^ crc_table[6][word >> 8 & 0xFF] ^
              crc_table[5][word >> 16 & 0xFF] ^ crc_table[4][word >> 24 & 0xFF] ^
              crc_table[3][word >> 32 & 0xFF] ^ crc_table[2][word >> 40 & 0xFF] ^
              crc_table[1][word >> 48 & 0xFF] ^ crc_table[0][word >> 56];
        octets += 8;
        length -= 8;
    }
    while (length--) crc = crc_table[0][(crc ^ *octets++) & 0xFF] ^ (crc >> 8);
    return ~crc;
}

/* --- a client's connection ---------------------------------------------------------------- */

static void start(struct client *client);

static void wait_for(struct client *client, uint32_t events) {
    if (client->waits_for == events) return;
    struct epoll_event event = {.events = events, .data.ptr = client};
    epoll_ctl(epoll_fd, client->waits_for ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, client->fd, &event);
    client->waits_for = events;
}

static void drop(struct client *client) {
    if (client->ssl) SSL_free(client->ssl);
    client->ssl = NULL;
    if (client->state == HOLDING) held--;
    if (client->state != ABSENT) present--;
    client->state = ABSENT;
    client->waits_for = 0;
    close(client->fd);
}

/* The session is not right: count it, say so, and drop the connection. */
static void wrong(struct client *client, const char *format, ...) {
    if (errors < ERRORS_SHOWN) {
        char *text = shown[errors];
        int length = snprintf(text, ERROR_SIZE / 2, users, client->user);
        length += snprintf(text + length, ERROR_SIZE - length, ": ");
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text + length, ERROR_SIZE - length, format, arguments);
        va_end(arguments);
        for (char *at = text; *at; at++)
            if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\') *at = '?';
    }
    errors++;
    drop(client);
    if (errors < ERRORS_LIMIT && !hold) start(client);
}

static void session_ended(struct client *client) {
    if (latency_count == latency_room) {
        latency_room = latency_room ? latency_room * 2 : 1 << 16;
        latencies_ms = realloc(latencies_ms, latency_room * sizeof *latencies_ms);
        if (!latencies_ms) fail("no memory", NULL);
    }
    /* Those that end late count here too, or the slowest would be left out. */
    latencies_ms[latency_count++] = (now_s() - client->start_s) * 1000;
    if (!over) done_sessions++;
    drop(client);
    if (!hold) start(client);
}

/* Give 0 when the client was dropped. */
static int flush(struct client *client) {
    while (client->out_done < client->out_length) {
        const char *data = client->out + client->out_done;
        int length = client->out_length - client->out_done, sent;
        if (client->ssl) {
            sent = SSL_write(client->ssl, data, length);
            if (sent <= 0) {
                int reason = SSL_get_error(client->ssl, sent);
                if (reason == SSL_ERROR_WANT_WRITE || reason == SSL_ERROR_WANT_READ) break;
                return wrong(client, "cannot send (TLS)"), 0;
            }
        } else {
            sent = send(client->fd, data, length, MSG_NOSIGNAL);
            if (sent < 0) {
                if (errno == EAGAIN) break;
                return wrong(client, "cannot send: %s", strerror(errno)), 0;
            }
        }
        client->out_done += sent;
    }
    wait_for(client, client->out_done < client->out_length ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return 1;
}

/* Send the next command, or so many at once; the login goes one by one. Give 0 when dropped. */
static int send_commands(struct client *client) {
    char *out = client->out;
    int room = sizeof client->out, length = 0;
    unsigned upto = client->sent + 1;
    if (client->sent >= login_length) {
        upto = client->sent + depth;
        if (upto > script_length) upto = script_length;
    }
    while (client->sent < upto) {
        struct command *command = &script[client->sent];
        if (command->verb == QUIT && length) break; /* by itself: the server closes after it */
        if (command->verb == USER) {
            length += snprintf(out + length, room - length, "USER ");
            length += snprintf(out + length, room - length, users, client->user);
            length += snprintf(out + length, room - length, "\r\n");
        } else if (command->verb == PASS) {
            length += snprintf(out + length, room - length, "PASS %s\r\n", password);
        } else {
            memcpy(out + length, command->text, command->length);
            length += command->length;
        }
        client->sent++;
    }
    client->out_length = length;
    client->out_done = 0;
    return flush(client);
}

static int choose_user(struct client *client) {
    if (once) {
        if (next_user >= user_count) return 0;
        client->user = first_user + next_user++;
        return 1;
    }
    unsigned own = (user_count - client->index + client_count - 1) / client_count;
    client->user = first_user + client->index + client_count * (client->turn++ % own);
    return 1;
}

static void start(struct client *client) {
    if (over || !choose_user(client)) return;
    client->sent = client->answered = 0;
    client->part = STATUS_LINE;
    client->line_length = client->out_length = client->out_done = 0;
    client->start_s = now_s();
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0) fail("socket", strerror(errno));
    int yes = 1;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + client->index % SOURCES);
    if (bind(client->fd, (struct sockaddr *)&source, sizeof source)) fail("bind", strerror(errno));
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &server.sin_addr);
    client->state = use_tls ? CONNECTING : GREETING;
    present++;
    if (connect(client->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) {
        wrong(client, "cannot connect: %s", strerror(errno));
        return;
    }
    wait_for(client, use_tls ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* --- replies ------------------------------------------------------------------------------ */

/* A command was answered rightly. Give 0 when the client was dropped. */
static int answered(struct client *client) {
    enum verb verb = script[client->answered].verb;
    client->answered++;
    client->part = STATUS_LINE;
    if (!over) done_commands++;
    if (verb == QUIT) {
        client->state = CLOSING;
        return 1;
    }
    if (hold && client->answered == login_length) {
        client->state = HOLDING;
        held++;
        return 1;
    }
    return 1;
}

/* Read a decimal number and what is behind it. */
static int number_at(const char **at, uint64_t *number) {
    char *end;
    if (**at < '0' || **at > '9') return 0;
    *number = strtoull(*at, &end, 10);
    *at = end;
    return 1;
}

static int is_uidl(const char *text) {
    size_t length = strlen(text);
    for (const char *at = text; *at; at++)
        if (*at < 0x21 || *at > 0x7E) return 0;
    return length >= 1 && length <= 70;
}

/* One line "number octets" or "number uidl" of a listing, or of the reply to LIST n or UIDL n. */
static int is_entry(enum verb verb, const char *text, unsigned wanted) {
    uint64_t number, octets;
    if (wanted < 1 || wanted > message_count || !number_at(&text, &number)) return 0;
    if (number != wanted || *text++ != ' ') return 0;
    if (verb == UIDL) return is_uidl(text);
    return number_at(&text, &octets) && octets == messages[wanted - 1].octets &&
           (*text == '\0' || *text == ' ');
}

static int status_line(struct client *client, const char *line) {
    if (strncmp(line, "+OK", 3) || (line[3] && line[3] != ' ')) {
        const char *to = client->state == GREETING ? "greeting" : script[client->answered].text;
        return wrong(client, "reply to %.20s: %.120s", to, line), 0;
    }
    if (client->state == GREETING) {
        client->state = TALKING;
        return 1;
    }
    const struct command *command = &script[client->answered];
    const char *text = line[3] ? line + 4 : line + 3;
    uint64_t count, octets;
    switch (command->verb) {
    case STAT:
        if (!number_at(&text, &count) || *text++ != ' ' || !number_at(&text, &octets) ||
            count != message_count || octets != total_octets)
            return wrong(client, "STAT says %.60s, there are %u messages of %lu octets", line,
                         message_count, total_octets), 0;
        return answered(client);
    case LIST:
    case UIDL:
        if (!command->number) {
            client->part = LISTING;
            client->listed = 0;
            return 1;
        }
        if (!is_entry(command->verb, text, command->number))
            return wrong(client, "wrong entry: %.90s", line), 0;
        return answered(client);
    case RETR:
        if (number_at(&text, &octets) && octets != messages[command->number - 1].octets)
            return wrong(client, "RETR %u announces %lu octets, it has %lu", command->number,
                         octets, messages[command->number - 1].octets), 0;
        client->part = BODY;
        client->place = LINE_START;
        client->last_was_cr = 0;
        client->octets = 0;
        client->crc = 0;
        client->sums = checksum_every && retrieved++ % checksum_every == 0;
        return 1;
    default:
        return answered(client);
    }
}

static int listing_line(struct client *client, const char *line) {
    enum verb verb = script[client->answered].verb;
    if (!strcmp(line, ".")) {
        if (client->listed != message_count)
            return wrong(client, "%s lists %u messages of %u", VERB_NAMES[verb], client->listed,
                         message_count), 0;
        return answered(client);
    }
    if (!is_entry(verb, line, ++client->listed))
        return wrong(client, "%s lists %.90s as entry %u", VERB_NAMES[verb], line,
                     client->listed), 0;
    return 1;
}

static void take(struct client *client, const char *data, size_t length) {
    client->octets += length;
    if (client->sums) client->crc = add_to_crc(client->crc, data, length);
}

static int body_ended(struct client *client) {
    const struct command *command = &script[client->answered];
    const struct message *message = &messages[command->number - 1];
    if (client->octets != message->octets)
        return wrong(client, "RETR %u sent %lu octets of %lu", command->number, client->octets,
                     message->octets), 0;
    if (client->sums) {
        if (client->crc != message->crc)
            return wrong(client, "RETR %u sent another content", command->number), 0;
        checked_sums++;
    }
    return answered(client);
}

/* Take a message's octets until its final dot; give how many were used, -1 when dropped. */
static ssize_t take_body(struct client *client, const char *data, size_t length) {
    size_t at = 0;
    uint64_t before = client->octets;
    while (at < length) {
        if (client->place == IN_LINE) {
            /* Whole lines in one go: only a dot at a line's start changes anything. */
            size_t from = at;
            while (at < length) {
                const char *end = memchr(data + at, '\n', length - at);
                if (!end) {
                    client->last_was_cr = data[length - 1] == '\r';
                    at = length;
                    break;
                }
                int after_cr = end > data + at ? end[-1] == '\r' : client->last_was_cr;
                if (!after_cr) return wrong(client, "a line ends without CR"), -1;
                client->last_was_cr = 0;
                at = end - data + 1;
                if (at == length || data[at] == '.') {
                    client->place = LINE_START;
                    break;
                }
            }
            take(client, data + from, at - from);
        } else if (client->place == LINE_START) {
            client->place = data[at] == '.' ? AFTER_DOT : IN_LINE;
            if (data[at] == '.') at++;
        } else if (client->place == AFTER_DOT) {
            if (data[at] == '\r') {
                client->place = AFTER_DOT_CR;
                at++;
            } else if (data[at] == '.') {
                client->place = IN_LINE; /* the first dot was the stuffing */
            } else {
                return wrong(client, "a line begins with a dot that was not stuffed"), -1;
            }
        } else {
            if (data[at] != '\n') return wrong(client, "a lone CR behind the final dot"), -1;
            at++;
            if (!over) done_octets += client->octets - before;
            return body_ended(client) ? (ssize_t)at : -1;
        }
    }
    if (!over) done_octets += client->octets - before;
    return at;
}

/* Take a piece of a line; give how many octets were used, -1 when dropped. */
static ssize_t take_line(struct client *client, const char *data, size_t length) {
    const char *end = memchr(data, '\n', length);
    size_t used = end ? (size_t)(end - data) + 1 : length;
    if (client->line_length + used >= LINE_LIMIT) return wrong(client, "a line too long"), -1;
    memcpy(client->line + client->line_length, data, used);
    client->line_length += used;
    if (!end) return used;
    int whole = client->line_length;
    client->line_length = 0;
    if (whole < 2 || client->line[whole - 2] != '\r')
        return wrong(client, "a reply ends without CR"), -1;
    client->line[whole - 2] = '\0';
    int go_on = client->part == LISTING ? listing_line(client, client->line)
                                        : status_line(client, client->line);
    return go_on ? (ssize_t)used : -1;
}

static void receive(struct client *client, const char *data, size_t length) {
    while (length) {
        int asked = client->state == GREETING ||
                    (client->state == TALKING && client->answered < client->sent);
        if (!asked) {
            wrong(client, "%zu octets that nothing asked for", length);
            return;
        }
        ssize_t used = client->part == BODY ? take_body(client, data, length)
                                            : take_line(client, data, length);
        if (used < 0) return;
        data += used;
        length -= used;
    }
    /* Only now, so that octets behind a reply are not taken for the next one. */
    if (client->state == TALKING && client->answered == client->sent) send_commands(client);
}

static void closed(struct client *client) {
    if (client->state == CLOSING) {
        session_ended(client);
    } else if (client->state == HOLDING) {
        wrong(client, "a held session was closed");
    } else {
        const char *to = client->state == TALKING && client->answered < script_length
                             ? script[client->answered].text
                             : "connecting";
        wrong(client, "closed at %.20s", to);
    }
}

static void shake_hands(struct client *client) {
    int result = SSL_connect(client->ssl);
    if (result == 1) {
        if (!tls_facts[0])
            snprintf(tls_facts, sizeof tls_facts, "%s %s", SSL_get_version(client->ssl),
                     SSL_get_cipher_name(client->ssl));
        client->state = GREETING;
        wait_for(client, EPOLLIN);
        return;
    }
    int reason = SSL_get_error(client->ssl, result);
    if (reason == SSL_ERROR_WANT_READ) wait_for(client, EPOLLIN);
    else if (reason == SSL_ERROR_WANT_WRITE) wait_for(client, EPOLLIN | EPOLLOUT);
    else wrong(client, "no TLS handshake: %s", ERR_reason_error_string(ERR_peek_last_error()));
    ERR_clear_error();
}

static void begin_tls(struct client *client) {
    client->ssl = SSL_new(tls_context);
    if (!client->ssl) fail("SSL_new", NULL);
    SSL_set_fd(client->ssl, client->fd);
    client->state = HANDSHAKE;
    shake_hands(client);
}

static void read_tls(struct client *client) {
    /* A record at a time: what one read gives is at most 16 KB, so read on until it is empty. */
    for (;;) {
        SSL *ssl = client->ssl;
        int length = SSL_read(ssl, input, sizeof input);
        if (length > 0) {
            receive(client, input, length);
            if (client->ssl != ssl || client->state == ABSENT) return;
            continue;
        }
        int reason = SSL_get_error(ssl, length);
        ERR_clear_error();
        if (reason == SSL_ERROR_WANT_READ) return;
        closed(client);
        return;
    }
}

static void ready(struct client *client, uint32_t events) {
    if (client->state == ABSENT) return;
    if (client->state == CONNECTING) {
        int problem = 0;
        socklen_t length = sizeof problem;
        getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &problem, &length);
        if (problem) wrong(client, "cannot connect: %s", strerror(problem));
        else if (events & EPOLLOUT) begin_tls(client);
        return;
    }
    if (client->state == HANDSHAKE) {
        shake_hands(client);
        return;
    }
    if (events & EPOLLOUT && !flush(client)) return;
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    if (client->ssl) {
        read_tls(client);
        return;
    }
    ssize_t length = recv(client->fd, input, sizeof input, 0);
    if (length > 0) receive(client, input, length);
    else if (length == 0) closed(client);
    else if (errno == ECONNREFUSED) wrong(client, "cannot connect: %s", strerror(errno));
    else if (errno != EAGAIN) wrong(client, "cannot receive: %s", strerror(errno));
}

static void turn(int timeout_ms) {
    static struct epoll_event events[512];
    int count = epoll_wait(epoll_fd, events, 512, timeout_ms);
    for (int n = 0; n < count; n++)
        if (events[n].data.ptr) ready(events[n].data.ptr, events[n].events);
}

/* --- files -------------------------------------------------------------------------------- */

static FILE *open_file(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) fail(path, strerror(errno));
    return file;
}

static void read_script(const char *path) {
    char line[128];
    FILE *file = open_file(path);
    while (fgets(line, sizeof line, file)) {
        char word[16] = "";
        struct command command = {.number = 0};
        if (sscanf(line, "%15s %u", word, &command.number) < 1) continue;
        while (command.verb < VERBS && strcmp(word, VERB_NAMES[command.verb])) command.verb++;
        if (command.verb == VERBS) fail("no such command", line);
        command.length =
            command.number ? snprintf(command.text, sizeof command.text, "%s %u\r\n", word,
                                      command.number)
                           : snprintf(command.text, sizeof command.text, "%s\r\n", word);
        script = realloc(script, (script_length + 1) * sizeof *script);
        if (!script) fail("no memory", NULL);
        script[script_length++] = command;
        if (command.verb == PASS) login_length = script_length;
    }
    fclose(file);
    if (!script_length || script[script_length - 1].verb != QUIT) fail(path, "QUIT must be last");
}

static void read_messages(const char *path) {
    struct message message;
    FILE *file = open_file(path);
    while (fscanf(file, "%lu %x", &message.octets, &message.crc) == 2) {
        messages = realloc(messages, (message_count + 1) * sizeof *messages);
        if (!messages) fail("no memory", NULL);
        messages[message_count++] = message;
        total_octets += message.octets;
    }
    fclose(file);
}

static void check_script(void) {
    for (unsigned n = 0; n < script_length; n++) {
        if (script[n].number > message_count) fail("no such message", script[n].text);
        if (!script[n].number && (script[n].verb == RETR || script[n].verb == DELE))
            fail("a message number is missing", script[n].text);
    }
}

static void make_tls_context(void) {
    tls_context = SSL_CTX_new(TLS_client_method());
    if (!tls_context) fail("SSL_CTX_new", NULL);
    /* Every connection makes its own full handshake. */
    SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(tls_context, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls_context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* --- result ------------------------------------------------------------------------------- */

static int by_size(const void *one, const void *other) {
    float a = *(const float *)one, b = *(const float *)other;
    return (a > b) - (a < b);
}

static float percentile(double share) {
    if (!latency_count) return 0;
    size_t at = share * latency_count;
    return latencies_ms[at < latency_count ? at : latency_count - 1];
}

static void print_result(double took_s, double cpu_s) {
    qsort(latencies_ms, latency_count, sizeof *latencies_ms, by_size);
    printf("{\"sessions\": %lu, \"commands\": %lu, \"octets\": %lu, \"seconds\": %.6f, "
           "\"cpu_s\": %.3f, \"checked_sums\": %lu, \"errors\": %lu, \"first_errors\": [",
           done_sessions, done_commands, done_octets, took_s, cpu_s, checked_sums, errors);
    for (unsigned n = 0; n < errors && n < ERRORS_SHOWN; n++)
        printf("%s\"%s\"", n ? ", " : "", shown[n]);
    printf("], \"latency_ms\": {\"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}, \"tls\": \"%s\"}\n",
           percentile(0.5), percentile(0.99), percentile(1), tls_facts);
}

/* --- the two ways to run ------------------------------------------------------------------ */

static void run_script(void) {
    double begin = now_s(), end = begin + seconds;
    for (unsigned n = 0; n < client_count; n++) start(&clients[n]);
    while (present && errors < ERRORS_LIMIT && now_s() < end) {
        double left_ms = (end - now_s()) * 1000;
        turn(left_ms < 100 ? (int)left_ms + 1 : 100);
    }
    double took_s = now_s() - begin, cpu_s = used_s();
    over = 1;
    while (present && errors < ERRORS_LIMIT && now_s() < end + grace_s) turn(100);
    if (errors < ERRORS_LIMIT)
        for (unsigned n = 0; n < client_count; n++)
            if (clients[n].state != ABSENT) wrong(&clients[n], "no end within %g s", grace_s);
    print_result(took_s, cpu_s);
}

static void log_in_up_to(unsigned wanted) {
    static unsigned started;
    double end = now_s() + 10 * grace_s;
    while (held < wanted && !errors && now_s() < end) {
        while (started < wanted && started - held < at_once) start(&clients[started++]);
        turn(100);
    }
}

static void run_held(void) {
    char line[32];
    double begin = now_s();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    setvbuf(stdin, NULL, _IONBF, 0);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        struct epoll_event ready_now;
        /* Sleep in epoll, so that a closed session is seen while nothing is asked. */
        if (epoll_wait(epoll_fd, &ready_now, 1, -1) < 1) continue;
        if (ready_now.data.ptr) {
            ready(ready_now.data.ptr, ready_now.events);
            continue;
        }
        if (!fgets(line, sizeof line, stdin)) break;
        unsigned wanted = strtoul(line, NULL, 10);
        log_in_up_to(wanted < client_count ? wanted : client_count);
        printf("{\"held\": %u, \"errors\": %lu, \"first_error\": \"%s\"}\n", held, errors, shown[0]);
        fflush(stdout);
    }
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, 0, NULL);
    double end = now_s() + grace_s;
    unsigned quitting = 0;
    for (unsigned n = 0; n < client_count; n++) {
        if (clients[n].state != HOLDING) continue;
        held--;
        clients[n].state = TALKING;
        clients[n].sent = clients[n].answered = script_length - 1;
        send_commands(&clients[n]);
        if (++quitting % at_once == 0) turn(0);
    }
    while (present && now_s() < end) turn(100);
    if (present) errors += present;
    print_result(now_s() - begin, used_s());
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"host", 1, NULL, 'h'},     {"port", 1, NULL, 'p'},     {"tls", 0, NULL, 't'},
        {"clients", 1, NULL, 'c'},  {"users", 1, NULL, 'u'},    {"first", 1, NULL, 'f'},
        {"count", 1, NULL, 'n'},    {"password", 1, NULL, 'P'}, {"script", 1, NULL, 's'},
        {"messages", 1, NULL, 'm'}, {"seconds", 1, NULL, 'S'},  {"once", 0, NULL, 'o'},
        {"depth", 1, NULL, 'd'},    {"sums", 1, NULL, 'k'},     {"hold", 0, NULL, 'H'},
        {"at-once", 1, NULL, 'a'},  {"grace", 1, NULL, 'g'},    {NULL, 0, NULL, 0}};
    const char *script_path = NULL, *messages_path = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) switch (option) {
        case 'h': host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 't': use_tls = 1; break;
        case 'c': client_count = atoi(optarg); break;
        case 'u': users = optarg; break;
        case 'f': first_user = atoi(optarg); break;
        case 'n': user_count = atoi(optarg); break;
        case 'P': password = optarg; break;
        case 's': script_path = optarg; break;
        case 'm': messages_path = optarg; break;
        case 'S': seconds = atof(optarg); break;
        case 'o': once = 1; break;
        case 'd': depth = atoi(optarg); break;
        case 'k': checksum_every = atoi(optarg); break;
        case 'H': hold = 1; break;
        case 'a': at_once = atoi(optarg); break;
        case 'g': grace_s = atof(optarg); break;
        default: return 2;
        }
    if (!port || !script_path || !messages_path) fail("needs --port, --script, --messages", NULL);
    if (depth < 1 || depth > DEPTH_LIMIT) fail("--depth is from 1 to 64", NULL);
    if (!once && user_count < client_count) fail("fewer users than clients", NULL);
    read_script(script_path);
    read_messages(messages_path);
    check_script();
    make_crc_table();
    if (use_tls) make_tls_context();
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    clients = calloc(client_count, sizeof *clients);
    if (!clients || epoll_fd < 0) fail("no memory", NULL);
    for (unsigned n = 0; n < client_count; n++) clients[n].index = n;
    if (hold) run_held();
    else run_script();
    return 0;
}

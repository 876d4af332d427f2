/*
 * ceiling: a responder that only echoes canned replies, as fast as this machine can.
 *
 * It knows nothing of POP3: a line that comes in is looked up, whole and then by its first word,
 * and the reply that was canned for it goes out. After the reply to QUIT it closes. What it
 * reaches is the ceiling for any server here, and how much that varies is the machine's noise.
 *
 * The file of canned replies holds, again and again, a line "LENGTH LINE" and LENGTH octets; the
 * reply of the empty line is the greeting.
 *
 * Build: gcc -O2 -o ceiling ceiling.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINE_LIMIT 256
#define SLOTS (1 << 16)    /* of the table of replies */
#define WAITING_LIMIT 64   /* replies of one client that are not out yet */

struct reply {
    char line[64];
    char *octets;
    size_t length;
    int last; /* close after it */
};

struct client {
    int fd;
    int waits_to_send;
    char line[LINE_LIMIT];
    int line_length;
    const struct reply *waiting[WAITING_LIMIT];
    unsigned first, count; /* of those that wait */
    size_t sent;           /* octets of the first */
};

static struct reply *replies[SLOTS];
static int epoll_fd;

static void fail(const char *text) {
    fprintf(stderr, "ceiling: %s: %s\n", text, strerror(errno));
    exit(2);
}

static struct reply **slot_of(const char *line, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t n = 0; n < length; n++) hash = (hash ^ (unsigned char)line[n]) * 16777619u;
    for (;; hash++) {
        struct reply **slot = &replies[hash % SLOTS];
        if (!*slot) return slot;
        if (strlen((*slot)->line) == length && !memcmp((*slot)->line, line, length)) return slot;
    }
}

static void read_replies(const char *path) {
    char head[128];
    FILE *file = fopen(path, "r");
    if (!file) fail(path);
    while (fgets(head, sizeof head, file)) {
        struct reply *reply = calloc(1, sizeof *reply);
        char *line;
        reply->length = strtoul(head, &line, 10);
        line[strcspn(line, "\n")] = '\0';
        snprintf(reply->line, sizeof reply->line, "%s", line + (*line == ' '));
        reply->last = !strcmp(reply->line, "QUIT");
        reply->octets = malloc(reply->length + 1);
        if (fread(reply->octets, 1, reply->length, file) != reply->length) fail("too short");
        *slot_of(reply->line, strlen(reply->line)) = reply;
    }
    fclose(file);
}

static const struct reply *reply_to(const char *line, size_t length) {
    const struct reply *found = *slot_of(line, length);
    if (found) return found;
    const char *space = memchr(line, ' ', length);
    return space ? *slot_of(line, space - line) : NULL;
}

static void drop(struct client *client) {
    close(client->fd);
    free(client);
}

/* Take what was sent off those that wait; give 0 when the client was dropped. */
static int take_off(struct client *client, size_t sent) {
    while (client->count) {
        const struct reply *reply = client->waiting[client->first];
        size_t left = reply->length - client->sent;
        if (sent < left) {
            client->sent += sent;
            return 1;
        }
        if (reply->last) return drop(client), 0;
        sent -= left;
        client->sent = 0;
        client->first = (client->first + 1) % WAITING_LIMIT;
        client->count--;
    }
    return 1;
}

/* Send what waits, in one write while the socket takes it; give 0 when the client was dropped. */
static int flush(struct client *client) {
    while (client->count) {
        struct iovec pieces[WAITING_LIMIT];
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = client->count};
        for (unsigned n = 0; n < client->count; n++) {
            const struct reply *reply = client->waiting[(client->first + n) % WAITING_LIMIT];
            size_t skip = n ? 0 : client->sent;
            pieces[n].iov_base = reply->octets + skip;
            pieces[n].iov_len = reply->length - skip;
        }
        ssize_t sent = sendmsg(client->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) return drop(client), 0;
        if (!take_off(client, sent)) return 0;
    }
    int waits = client->count > 0;
    if (waits != client->waits_to_send) {
        struct epoll_event event = {.events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                    .data.ptr = client};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
        client->waits_to_send = waits;
    }
    return 1;
}

static int queue_reply(struct client *client, const struct reply *reply) {
    if (!reply || client->count == WAITING_LIMIT) return 0;
    client->waiting[(client->first + client->count++) % WAITING_LIMIT] = reply;
    return 1;
}

static void receive(struct client *client) {
    ssize_t got = recv(client->fd, client->line + client->line_length,
                       LINE_LIMIT - client->line_length, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        drop(client);
        return;
    }
    client->line_length += got;
    char *at = client->line, *end;
    size_t left = client->line_length;
    while ((end = memchr(at, '\n', left))) {
        size_t length = end - at;
        if (length && at[length - 1] == '\r') length--;
        if (!queue_reply(client, reply_to(at, length))) {
            drop(client);
            return;
        }
        left -= end + 1 - at;
        at = end + 1;
    }
    memmove(client->line, at, left);
    client->line_length = left;
    if (left == LINE_LIMIT) drop(client);
    else flush(client);
}

static void take_clients(int listener, const struct reply *greeting) {
    int fd, yes = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *client = calloc(1, sizeof *client);
        if (!client) fail("no memory");
        client->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
        queue_reply(client, greeting);
        flush(client);
    }
}

static int listen_on(int port) {
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        fail("cannot listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: ceiling PORT REPLIES\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    read_replies(argv[2]);
    const struct reply *greeting = *slot_of("", 0);
    if (!greeting) {
        fprintf(stderr, "ceiling: no greeting\n");
        return 2;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(atoi(argv[1]));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[512];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, 512, -1);
        for (int n = 0; n < count; n++) {
            struct client *client = events[n].data.ptr;
            if (!client) take_clients(listener, greeting);
            else if (events[n].events & EPOLLOUT && !flush(client)) continue;
            else if (events[n].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(client);
        }
    }
}

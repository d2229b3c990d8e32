// Floor: a bare forwarder, the least that a proxy can cost. One thread, edge-triggered epoll, one connection to the
// origin for each of the caller's; it looks for the end of a message and does nothing else. `make bench` measures it
// beside the proxies, because nearly all of its time is the kernel's.
//
//   floor PORT ORIGIN-PORT http|tcp|splice

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { buffer_size = 64 << 10, pipe_size = 1 << 20, batch = 256 };
enum mode { http, tcp, spliced };

struct side {
    int fd;
    struct side *peer;
    struct side *next_dead;
    int dead;
    // What the socket did not take.
    char *kept;
    size_t kept_count;
    // Where the other side's bytes wait when they are spliced.
    int pipe[2];
    size_t in_pipe;
    // Of the message that is being read: bytes of the body to come, bytes of "\r\n\r\n" seen.
    size_t body_left;
    int seen;
    unsigned long messages;
};

static char buffer[buffer_size];
static struct side *dead_sides;
static enum mode mode;
static int loop;
static struct sockaddr_in origin;

static void fail(const char *doing) {
    perror(doing);
    exit(1);
}

static void end(struct side *side) {
    if (side->dead) return;
    for (int turn = 0; turn < 2; turn++, side = side->peer) {
        side->dead = 1;
        close(side->fd);
        side->next_dead = dead_sides;
        dead_sides = side;
    }
}

static void bury(void) {
    while (dead_sides) {
        struct side *side = dead_sides;
        dead_sides = side->next_dead;
        free(side->kept);
        if (mode == spliced) close(side->pipe[0]), close(side->pipe[1]);
        free(side);
    }
}

// Finds the ends of messages: Content-Length is seen where it stands in the same read as the end of its head.
static void scan(struct side *side, const char *bytes, size_t count) {
    while (count > 0) {
        if (side->body_left > 0) {
            size_t step = side->body_left < count ? side->body_left : count;
            side->body_left -= step, bytes += step, count -= step;
            if (side->body_left == 0) side->messages++;
            continue;
        }
        const char *head = bytes;
        const char *close = side->seen == 0 ? memmem(bytes, count, "\r\n\r\n", 4) : NULL;
        if (!close) {
            while (count > 0 && side->seen < 4) {
                side->seen = *bytes == "\r\n\r\n"[side->seen] ? side->seen + 1 : *bytes == '\r';
                bytes++, count--;
            }
            if (side->seen < 4) return;
            side->seen = 0, side->messages++;
            continue;
        }
        const char *length = memmem(head, close - head, "\r\nContent-Length:", 17);
        if (!length) length = memmem(head, close - head, "\r\ncontent-length:", 17);
        side->body_left = length ? strtoul(length + 17, NULL, 10) : 0;
        if (side->body_left == 0) side->messages++;
        count -= close + 4 - bytes;
        bytes = close + 4;
    }
}

// True when all of it is out.
static int give(struct side *to, const char *bytes, size_t count) {
    ssize_t sent = send(to->fd, bytes, count, MSG_NOSIGNAL);
    if (sent == (ssize_t)count) return 1;
    if (sent < 0 && errno != EAGAIN) return end(to), 0;
    if (sent < 0) sent = 0;
    char *kept = malloc(count - sent);
    if (!kept) fail("malloc");
    memcpy(kept, bytes + sent, count - sent);
    free(to->kept);
    to->kept = kept, to->kept_count = count - sent;
    return 0;
}

static int flush(struct side *to) {
    if (to->kept) {
        char *kept = to->kept;
        to->kept = NULL;
        int done = give(to, kept, to->kept_count);
        free(kept);
        return done;
    }
    while (to->in_pipe > 0) {
        ssize_t moved = splice(to->pipe[0], NULL, to->fd, NULL, to->in_pipe, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (moved < 0 && errno == EAGAIN) return 0;
        if (moved <= 0) return end(to), 0;
        to->in_pipe -= moved;
    }
    return 1;
}

static void pump_pipe(struct side *from) {
    struct side *to = from->peer;
    while (!from->dead && flush(to)) {
        ssize_t moved = splice(from->fd, NULL, to->pipe[1], NULL, pipe_size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (moved < 0 && errno == EAGAIN) return;
        if (moved <= 0) return end(from);
        to->in_pipe += moved;
    }
}

static void pump(struct side *from) {
    if (mode == spliced) return pump_pipe(from);
    while (!from->dead && !from->peer->kept) {
        ssize_t count = recv(from->fd, buffer, buffer_size, 0);
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) return end(from);
        if (mode == http) scan(from, buffer, count);
        if (!give(from->peer, buffer, count) || count < buffer_size) return;
    }
}

static struct side *adopt(int fd) {
    struct side *side = calloc(1, sizeof *side);
    int on = 1;
    if (!side) fail("calloc");
    side->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (mode == spliced) {
        if (pipe2(side->pipe, O_NONBLOCK | O_CLOEXEC) < 0) fail("pipe2");
        fcntl(side->pipe[1], F_SETPIPE_SZ, pipe_size);
    }
    return side;
}

static void watch(struct side *side) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = side};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, side->fd, &event) < 0) fail("epoll_ctl");
}

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int up = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (up < 0 || connect(up, (struct sockaddr *)&origin, sizeof origin) < 0) fail("connect");
        fcntl(up, F_SETFL, O_NONBLOCK);
        struct side *caller = adopt(fd), *callee = adopt(up);
        caller->peer = callee, callee->peer = caller;
        watch(caller), watch(callee);
    }
}

int main(int count, char **words) {
    if (count != 4) return fprintf(stderr, "usage: floor PORT ORIGIN-PORT http|tcp|splice\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    mode = words[3][0] == 'h' ? http : words[3][0] == 't' ? tcp : spliced;
    origin = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(atoi(words[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in own = origin;
    own.sin_port = htons(atoi(words[1]));
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&own, sizeof own) < 0 || listen(listener, 4096) < 0) fail("listen");
    loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[batch] = {{.events = EPOLLIN, .data.ptr = NULL}};
    if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, listener, events) < 0) fail("epoll");
    for (;;) {
        int ready = epoll_wait(loop, events, batch, -1);
        for (int index = 0; index < ready; index++) {
            struct side *side = events[index].data.ptr;
            if (!side) {
                accept_all(listener);
                continue;
            }
            if (side->dead) continue;
            if ((events[index].events & EPOLLOUT) && (side->kept || side->in_pipe) && flush(side)) pump(side->peer);
            if (events[index].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) pump(side);
        }
        bury();
    }
}

#pragma once
// What the Glibc module lacks: headers, and inline functions around calls that are variadic, macros, or need a
// struct that Swift sees badly. A function returns what its call returns, or the negative errno, so that nothing can
// change errno between the call and its reading.
//
// No _GNU_SOURCE here: Swift imports the C library without it, and its types must be the same in both. What glibc
// then hides is declared below.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <malloc.h>

int accept4(int fd, struct sockaddr *__restrict address, socklen_t *__restrict size, int flags);

static inline long martlet_result(long result) { return result < 0 ? -(long)errno : result; }

// MARK: Time and randomness

static inline int64_t martlet_clock(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t martlet_monotonic(void) { return martlet_clock(CLOCK_MONOTONIC); }
static inline int64_t martlet_realtime(void) { return martlet_clock(CLOCK_REALTIME); }

/// Fills all of it: up to 256 bytes come at once by getrandom(2), more in pieces.
static inline void martlet_random(void *bytes, size_t count) {
    unsigned char *next = (unsigned char *)bytes;
    while (count > 0) {
        ssize_t got = getrandom(next, count < 256 ? count : 256, 0);
        if (got < 0) {
            if (errno == EINTR) continue;
            abort();
        }
        next += got;
        count -= (size_t)got;
    }
}

// MARK: Addresses

/// As MeshPrimitives' SocketAddress: first byte of the address in the most significant byte.
struct martlet_address {
    uint64_t high, low;
    uint16_t port;
    uint8_t is_ipv6;
};

static inline socklen_t martlet_to_sockaddr(struct martlet_address from, struct sockaddr_storage *to) {
    memset(to, 0, sizeof *to);
    if (from.is_ipv6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
        uint64_t words[2] = {__builtin_bswap64(from.high), __builtin_bswap64(from.low)};
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        words[0] = from.high;
        words[1] = from.low;
#endif
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(from.port);
        memcpy(&six->sin6_addr, words, 16);
        return sizeof *six;
    }
    struct sockaddr_in *four = (struct sockaddr_in *)to;
    four->sin_family = AF_INET;
    four->sin_port = htons(from.port);
    four->sin_addr.s_addr = htonl((uint32_t)from.low);
    return sizeof *four;
}

static inline struct martlet_address martlet_from_sockaddr(const struct sockaddr_storage *from) {
    struct martlet_address to;
    memset(&to, 0, sizeof to);
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
        for (int index = 0; index < 8; index++) {
            to.high = to.high << 8 | six->sin6_addr.s6_addr[index];
            to.low = to.low << 8 | six->sin6_addr.s6_addr[index + 8];
        }
        to.port = ntohs(six->sin6_port);
        to.is_ipv6 = 1;
    } else if (from->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)from;
        to.low = ntohl(four->sin_addr.s_addr);
        to.port = ntohs(four->sin_port);
    }
    return to;
}

static inline long martlet_local_address(int fd, struct martlet_address *address) {
    struct sockaddr_storage storage;
    socklen_t size = sizeof storage;
    if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0) return -(long)errno;
    *address = martlet_from_sockaddr(&storage);
    return 0;
}

static inline long martlet_peer_address(int fd, struct martlet_address *address) {
    struct sockaddr_storage storage;
    socklen_t size = sizeof storage;
    if (getpeername(fd, (struct sockaddr *)&storage, &size) != 0) return -(long)errno;
    *address = martlet_from_sockaddr(&storage);
    return 0;
}

/// Where a connection was going before netfilter's REDIRECT sent it here: SO_ORIGINAL_DST, and its IPv6 namesake,
/// both of number 80 (linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h).
static inline long martlet_original_destination(int fd, struct martlet_address *address) {
    struct sockaddr_storage storage;
    socklen_t size = sizeof storage;
    if (getsockopt(fd, IPPROTO_IP, 80, &storage, &size) != 0) {
        size = sizeof storage;
        if (getsockopt(fd, IPPROTO_IPV6, 80, &storage, &size) != 0) return -(long)errno;
    }
    *address = martlet_from_sockaddr(&storage);
    return 0;
}

// MARK: Sockets

static inline long martlet_set_option(int fd, int level, int name, int value) {
    return martlet_result(setsockopt(fd, level, name, &value, sizeof value));
}

static inline long martlet_socket(struct martlet_address address) {
    return martlet_result(
        socket(address.is_ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/// Binds and, with a backlog that is not negative, listens. TCP_NODELAY is inherited by the accepted sockets
/// (tcp(7)), which saves a call for each of them.
static inline long martlet_listen(struct martlet_address address, int reuse_port, int backlog) {
    struct sockaddr_storage storage;
    socklen_t size = martlet_to_sockaddr(address, &storage);
    long fd = martlet_socket(address);
    if (fd < 0) return fd;
    martlet_set_option((int)fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address.is_ipv6) martlet_set_option((int)fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (reuse_port) martlet_set_option((int)fd, SOL_SOCKET, SO_REUSEPORT, 1);
    martlet_set_option((int)fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (bind((int)fd, (struct sockaddr *)&storage, size) != 0 || (backlog >= 0 && listen((int)fd, backlog) != 0)) {
        long error = -(long)errno;
        close((int)fd);
        return error;
    }
    return fd;
}

/// A connection that its peer gave up while it was queued (ECONNABORTED) is passed over.
static inline long martlet_accept(int fd, struct martlet_address *address) {
    struct sockaddr_storage storage;
    for (;;) {
        socklen_t size = sizeof storage;
        int accepted = accept4(fd, (struct sockaddr *)&storage, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            *address = martlet_from_sockaddr(&storage);
            return accepted;
        }
        if (errno != EINTR && errno != ECONNABORTED) return -(long)errno;
    }
}

/// The descriptor, with `*is_pending` set where the connection is not yet there.
static inline long martlet_connect(
    struct martlet_address address, const struct martlet_address *source, int *is_pending
) {
    struct sockaddr_storage storage;
    long fd = martlet_socket(address);
    if (fd < 0) return fd;
    martlet_set_option((int)fd, IPPROTO_TCP, TCP_NODELAY, 1);
    long result = 0;
    if (source != NULL) {
        // Else every connection from one source address would hold a port of its own, whatever its destination.
        if (source->port == 0) martlet_set_option((int)fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        else martlet_set_option((int)fd, SOL_SOCKET, SO_REUSEADDR, 1);
        socklen_t size = martlet_to_sockaddr(*source, &storage);
        result = martlet_result(bind((int)fd, (struct sockaddr *)&storage, size));
    }
    if (result == 0) {
        socklen_t size = martlet_to_sockaddr(address, &storage);
        result = martlet_result(connect((int)fd, (struct sockaddr *)&storage, size));
    }
    *is_pending = result == -EINPROGRESS || result == -EINTR;
    if (result == 0 || *is_pending) return fd;
    close((int)fd);
    return result;
}

/// SO_ERROR: 0, or the errno of the connection. Reading it clears it.
static inline long martlet_socket_error(int fd) {
    int value = 0;
    socklen_t size = sizeof value;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) != 0) return errno;
    return value;
}

static inline long martlet_set_keepalive(int fd, int idle_seconds, int interval_seconds, int probes) {
    long result = martlet_set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (result == 0 && idle_seconds > 0) result = martlet_set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_seconds);
    if (result == 0 && interval_seconds > 0)
        result = martlet_set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_seconds);
    if (result == 0 && probes > 0) result = martlet_set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, probes);
    return result;
}

// recv(3) and send(3) of the C library are cancellation points: with more than one thread they switch cancellation on
// and off around the call, which costs as much as the rest of them. Nobody cancels our threads.

static inline long martlet_recv(int fd, void *bytes, size_t count) {
    for (;;) {
        long got = syscall(SYS_recvfrom, fd, bytes, count, 0, NULL, NULL);
        if (got >= 0 || errno != EINTR) return martlet_result(got);
    }
}

/// The first byte is looked at and stays.
static inline long martlet_peek(int fd) {
    char byte;
    for (;;) {
        ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (got >= 0 || errno != EINTR) return martlet_result(got);
    }
}

static inline long martlet_send(int fd, const void *bytes, size_t count) {
    for (;;) {
        long sent = syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL, NULL, 0);
        if (sent >= 0 || errno != EINTR) return martlet_result(sent);
    }
}

static inline long martlet_send4(
    int fd, const void *a, size_t a_count, const void *b, size_t b_count, const void *c, size_t c_count,
    const void *d, size_t d_count
) {
    struct iovec parts[4] = {
        {(void *)a, a_count}, {(void *)b, b_count}, {(void *)c, c_count}, {(void *)d, d_count}};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = parts;
    message.msg_iovlen = d_count > 0 ? 4 : c_count > 0 ? 3 : 2;
    for (;;) {
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent >= 0 || errno != EINTR) return martlet_result(sent);
    }
}

/// The capacity; a process may be refused a larger one than the machine gives by itself.
static inline long martlet_pipe(int ends[2], int capacity) {
    if (syscall(SYS_pipe2, ends, O_NONBLOCK | O_CLOEXEC) != 0) return -(long)errno;
    enum { F_SETPIPE_SZ_ = 1031, F_GETPIPE_SZ_ = 1032 };
    long got = fcntl(ends[1], F_SETPIPE_SZ_, capacity);
    if (got < 0) got = fcntl(ends[1], F_GETPIPE_SZ_);
    return martlet_result(got);
}

/// Whole pages move where they can; never waits.
static inline long martlet_splice(int from, int to, size_t count) {
    enum { SPLICE_F_MOVE_ = 1, SPLICE_F_NONBLOCK_ = 2 };
    for (;;) {
        long moved = syscall(SYS_splice, from, NULL, to, NULL, count, SPLICE_F_MOVE_ | SPLICE_F_NONBLOCK_);
        if (moved >= 0 || errno != EINTR) return martlet_result(moved);
    }
}

/// Closes with a reset instead of a FIN.
static inline void martlet_reset(int fd) {
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

// MARK: epoll and eventfd

static inline long martlet_epoll_create(void) { return martlet_result(epoll_create1(EPOLL_CLOEXEC)); }

static inline long martlet_epoll_add(int poller, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event;
    event.events = events | EPOLLET;
    event.data.u64 = token;
    return martlet_result(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
}

static inline long martlet_epoll_remove(int poller, int fd) {
    struct epoll_event unused;
    return martlet_result(epoll_ctl(poller, EPOLL_CTL_DEL, fd, &unused));
}

/// The layout of Reactor's ReadyEvent.
struct martlet_event {
    uint64_t token;
    uint32_t readiness;
};

/// `events` holds `count` events as the kernel wrote them, packed; spreads them out in place, last one first.
static inline void martlet_spread_events(void *events, long count) {
    for (long index = count - 1; index >= 0; index--) {
        struct epoll_event from;
        memcpy(&from, (char *)events + index * (long)sizeof from, sizeof from);
        struct martlet_event to = {from.data.u64, from.events};
        memcpy((char *)events + index * (long)sizeof to, &to, sizeof to);
    }
}

_Static_assert(sizeof(struct epoll_event) <= sizeof(struct martlet_event), "events are spread out in place");

// epoll_pwait2 came with Linux 5.11; by its number, since older C libraries lack it and sandboxes refuse it.
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

static inline int martlet_has_epoll_pwait2(void) {
    struct epoll_event event;
    struct timespec zero = {0, 0};
    return syscall(SYS_epoll_pwait2, -1, &event, 1, &zero, NULL, sizeof(sigset_t)) < 0 && errno == EBADF;
}

/// A negative timeout is for ever. A signal ends the wait with 0 events.
static inline long martlet_epoll_wait_milliseconds(int poller, void *events, int max, int64_t timeout) {
    int milliseconds = -1;
    if (timeout >= 0) {
        int64_t rounded_up = timeout / 1000000 + (timeout % 1000000 != 0);
        milliseconds = rounded_up > INT_MAX ? INT_MAX : (int)rounded_up;
    }
    long count = epoll_wait(poller, (struct epoll_event *)events, max, milliseconds);
    if (count < 0) return errno == EINTR ? 0 : -(long)errno;
    martlet_spread_events(events, count);
    return count;
}

static inline long martlet_epoll_wait_nanoseconds(int poller, void *events, int max, int64_t timeout) {
    if (timeout <= 0) return martlet_epoll_wait_milliseconds(poller, events, max, timeout);
    struct timespec limit = {(time_t)(timeout / 1000000000), (long)(timeout % 1000000000)};
    long count = syscall(SYS_epoll_pwait2, poller, events, max, &limit, NULL, 0);
    if (count < 0) return errno == EINTR ? 0 : -(long)errno;
    martlet_spread_events(events, count);
    return count;
}

static inline long martlet_eventfd(void) { return martlet_result(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)); }

static inline void martlet_eventfd_write(int fd) {
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {}
}

static inline void martlet_eventfd_read(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {}
}

// MARK: Signals

/// Blocks the signals of the bit set (bit n: signal n) in the calling thread, and in those that it starts.
static inline long martlet_block_signals(uint64_t set) {
    sigset_t signals;
    sigemptyset(&signals);
    for (int number = 1; number < 64; number++)
        if (set >> number & 1) sigaddset(&signals, number);
    return -(long)pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static inline void martlet_ignore_sigpipe(void) { signal(SIGPIPE, SIG_IGN); }

static inline long martlet_signalfd(uint64_t set) {
    sigset_t signals;
    sigemptyset(&signals);
    for (int number = 1; number < 64; number++)
        if (set >> number & 1) sigaddset(&signals, number);
    return martlet_result(signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
}

/// The number of the next signal, or the negative errno.
static inline long martlet_signalfd_read(int fd) {
    struct signalfd_siginfo info;
    for (;;) {
        ssize_t got = read(fd, &info, sizeof info);
        if (got == (ssize_t)sizeof info) return (long)info.ssi_signo;
        if (got < 0 && errno == EINTR) continue;
        return got < 0 ? -(long)errno : -(long)EIO;
    }
}

// MARK: Threads and processors

static inline void martlet_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// Processors in this thread's affinity mask; 0 if it cannot be read.
static inline int martlet_processors_allowed(void) {
    // 64 Ki processors: eight times what Linux can be built for.
    unsigned long mask[1024];
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    int count = 0;
    for (long index = 0; index < bytes / (long)sizeof mask[0]; index++) count += __builtin_popcountl(mask[index]);
    return count;
}

// MARK: Files

static inline long martlet_open(const char *path, int flags, mode_t mode) {
    for (;;) {
        int fd = open(path, flags | O_CLOEXEC, mode);
        if (fd >= 0 || errno != EINTR) return martlet_result(fd);
    }
}

static inline long martlet_read(int fd, void *bytes, size_t count) {
    for (;;) {
        ssize_t got = read(fd, bytes, count);
        if (got >= 0 || errno != EINTR) return martlet_result(got);
    }
}

static inline long martlet_write(int fd, const void *bytes, size_t count) {
    for (;;) {
        ssize_t wrote = write(fd, bytes, count);
        if (wrote >= 0 || errno != EINTR) return martlet_result(wrote);
    }
}

static inline long martlet_duplicate(int fd) { return martlet_result(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }
static inline long martlet_fsync(int fd) { return martlet_result(fsync(fd)); }
static inline long martlet_rename(const char *from, const char *to) { return martlet_result(rename(from, to)); }
static inline long martlet_unlink(const char *path) { return martlet_result(unlink(path)); }
static inline long martlet_mkdir(const char *path, mode_t mode) { return martlet_result(mkdir(path, mode)); }
static inline long martlet_fchmod(int fd, mode_t mode) { return martlet_result(fchmod(fd, mode)); }

/// What tells one content of a path from another.
struct martlet_file_identity {
    uint64_t device, inode;
    int64_t size, modified_nanoseconds, changed_nanoseconds;
    uint8_t is_directory;
};

static inline long martlet_stat(const char *path, struct martlet_file_identity *identity) {
    struct stat status;
    if (stat(path, &status) != 0) return -(long)errno;
    identity->device = status.st_dev;
    identity->inode = status.st_ino;
    identity->size = status.st_size;
    identity->modified_nanoseconds = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    identity->changed_nanoseconds = (int64_t)status.st_ctim.tv_sec * 1000000000 + status.st_ctim.tv_nsec;
    identity->is_directory = S_ISDIR(status.st_mode);
    return 0;
}

// MARK: Memory

/// `free`, of which the compiler does not know that it is: it would leave out both, the block being used for nothing.
static inline void martlet_free(void *block) {
    void *volatile place = block;
    free(place);
}

// Handshakes: a new mutual TLS 1.3 connection for every request, full or resumed with a ticket. Blocking threads over
// OpenSSL: what is measured is the server's processor time, so the client need not be clever, and it is none of ours.
//
//   handshakes PORT CERTIFICATE KEY ROOT THREADS SECONDS full|resumed
//
// Prints {"answers": N, "resumed": N, "failed": N, "seconds": S}.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static SSL_CTX *context;
static struct sockaddr_in server;
static int resumes;
static double ends_at;
static atomic_ulong answers, resumed, failed;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

// Reads one answer; true if its status is 200 and its body is whole.
static int read_answer(SSL *tls) {
    char text[8192];
    size_t have = 0;
    while (have < sizeof text - 1) {
        int count = SSL_read(tls, text + have, sizeof text - 1 - have);
        if (count <= 0) return 0;
        have += count;
        text[have] = 0;
        char *end = strstr(text, "\r\n\r\n");
        if (!end) continue;
        char *length = strcasestr(text, "\r\ncontent-length:");
        size_t body = length ? strtoul(length + 17, NULL, 10) : 0;
        if (have >= end + 4 - text + body) return strncmp(text, "HTTP/1.1 200", 12) == 0;
    }
    return 0;
}

// One connection, one request; `session` is offered, and replaced by the newest ticket.
static void ask(SSL_SESSION **session) {
    static const char request[] = "GET /64 HTTP/1.1\r\nHost: bench.example\r\n\r\n";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, fine = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    SSL_set_tlsext_host_name(tls, "bench.example");
    if (resumes && *session) SSL_set_session(tls, *session);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) == 0 && SSL_connect(tls) == 1
        && SSL_write(tls, request, sizeof request - 1) > 0 && read_answer(tls)) {
        fine = 1;
        if (SSL_session_reused(tls)) atomic_fetch_add(&resumed, 1);
        if (resumes) {
            SSL_SESSION *newer = SSL_get1_session(tls);
            if (newer && SSL_SESSION_is_resumable(newer)) {
                SSL_SESSION_free(*session);
                *session = newer;
            } else {
                SSL_SESSION_free(newer);
            }
        }
        SSL_shutdown(tls);
    }
    atomic_fetch_add(fine ? &answers : &failed, 1);
    if (!fine) ERR_print_errors_fp(stderr), usleep(1000);
    ERR_clear_error();
    SSL_free(tls);
    close(fd);
}

static void *work(void *unused) {
    SSL_SESSION *session = NULL;
    while (now() < ends_at) ask(&session);
    SSL_SESSION_free(session);
    return unused;
}

int main(int count, char **words) {
    if (count != 8) return fprintf(stderr, "usage: handshakes PORT CERTIFICATE KEY ROOT THREADS SECONDS full|resumed\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    server = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(atoi(words[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    resumes = words[7][0] == 'r';
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_use_certificate_chain_file(context, words[2]) != 1
        || SSL_CTX_use_PrivateKey_file(context, words[3], SSL_FILETYPE_PEM) != 1
        || SSL_CTX_load_verify_file(context, words[4]) != 1)
        return ERR_print_errors_fp(stderr), 1;
    int threads = atoi(words[5]);
    pthread_t running[64];
    if (threads < 1 || threads > 64) return fprintf(stderr, "handshakes: 1 to 64 threads are meant\n"), 2;
    double began = now();
    ends_at = began + atof(words[6]);
    for (int index = 0; index < threads; index++)
        if (pthread_create(&running[index], NULL, work, NULL) != 0) return perror("thread"), 1;
    for (int index = 0; index < threads; index++) pthread_join(running[index], NULL);
    printf("{\"answers\": %lu, \"resumed\": %lu, \"failed\": %lu, \"seconds\": %.6f}\n", atomic_load(&answers),
           atomic_load(&resumed), atomic_load(&failed), now() - began);
    return 0;
}

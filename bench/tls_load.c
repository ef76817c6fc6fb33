/* Owns the client side of a benchmark: sends prepared requests over TLS 1.3 and says how it went, as one line of JSON.
 * It must not know what it asks for, nor whom.
 *
 * usage: tls_load ADDRESS PORT REQUESTS CONNECTIONS close|keep STATUS TEXT [CERTIFICATES KEY [CHAIN]]
 *        tls_load ADDRESS PORT SCRIPTS CONNECTIONS script|hold
 *
 * REQUESTS is a file of requests, each behind its length (four bytes, big-endian). So many CONNECTIONS are open at a
 * time; with `close` each carries one request, with `keep` as many as there are. An answer is good if it has the STATUS
 * and holds the TEXT. One thread, so that it can be pinned beside the server.
 *
 * CERTIFICATES holds one or more of the same KEY, in PEM: connections show them in turn, so that each request may come
 * from another device. CHAIN holds the certificates that are sent after each of them.
 *
 * SCRIPTS is such a file too; a script is what one connection says, step by step: bytes to send behind their length,
 * then bytes to wait for behind theirs, searched from where the last ones ended; either may be empty. With `script`
 * the server closes after the last step. With `hold` the connection stays, CONNECTIONS are made at a time, and once all
 * stand, "held" is written and they are kept until standard input ends; one that the server ended has failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_LIMIT = 256 * 1024, SILENCE_MS = 30000, SOURCES = 200, EVENTS = 256 };

/* What a step of a connection ends with: go on at once, wait for the socket, or it is over. */
enum progress { GO_ON, WAIT_READ, WAIT_WRITE, OVER };

enum phase { CONNECTING, SHAKING_HANDS, SENDING, RECEIVING, CLOSING, HELD };

enum mode { CLOSE, KEEP, SCRIPT, HOLD };

struct piece {
    const unsigned char *bytes;
    size_t length;
};

struct connection {
    int socket;
    int fresh; /* no answer has come on it yet */
    uint32_t interest;
    SSL *tls;
    enum phase phase;
    size_t request;
    size_t step;  /* where in its script the next step begins */
    struct piece saying, awaited;
    size_t sent;
    size_t received;
    size_t searched; /* how much of the answer the steps before have used up */
    double started;
    char answer[ANSWER_LIMIT + 1];
};

static struct {
    struct sockaddr_in server;
    struct piece *requests;
    size_t request_count;
    enum mode mode;
    char status[32];
    const char *text;
    SSL_CTX *context;
    X509 **certificates; /* shown in turn, where there is more than one */
    size_t certificate_count;
    int poll;
    size_t taken;
    size_t good;
    size_t failed;
    size_t connections;
    size_t resumed;
    size_t tickets;
    size_t bytes_in;
    double *microseconds;
    char failure[512];
    char protocol[64], cipher[64], group[64], key[64];
} run;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void die(const char *what) {
    fprintf(stderr, "tls_load: %s: %s\n", what, errno ? strerror(errno) : "failed");
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* The piece behind its length at this place, which moves behind the piece. */
static struct piece take_piece(const struct piece *whole, size_t *at) {
    uint32_t length;
    if (*at + 4 > whole->length)
        die("a length is cut off");
    memcpy(&length, whole->bytes + *at, 4);
    struct piece piece = {whole->bytes + *at + 4, ntohl(length)};
    *at += 4 + piece.length;
    if (*at > whole->length)
        die("a request is cut off");
    return piece;
}

static void load_requests(const char *path) {
    int file = open(path, O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status) < 0)
        die(path);
    unsigned char *bytes = malloc((size_t)status.st_size + 1);
    size_t size = 0, capacity = 0;
    for (ssize_t got; (got = read(file, bytes + size, (size_t)status.st_size - size)) > 0;)
        size += (size_t)got;
    close(file);
    struct piece file_content = {bytes, size};
    for (size_t at = 0; at < size;) {
        if (run.request_count == capacity)
            run.requests = realloc(run.requests, (capacity = capacity * 2 + 64) * sizeof *run.requests);
        run.requests[run.request_count++] = take_piece(&file_content, &at);
    }
    if (run.request_count == 0)
        die("no requests");
}

static int count_ticket(SSL *tls, SSL_SESSION *session) {
    (void)tls, (void)session;
    run.tickets++;
    return 0;
}

/* The certificates in a file, their number in `count`. */
static X509 **load_certificates(const char *path, size_t *count) {
    BIO *file = BIO_new_file(path, "r");
    X509 **found = NULL, *one;
    if (!file)
        die(path);
    for (*count = 0; (one = PEM_read_bio_X509(file, NULL, NULL, NULL)); (*count)++) {
        if (*count % 64 == 0)
            found = realloc(found, (*count + 64) * sizeof *found);
        found[*count] = one;
    }
    ERR_clear_error(); /* the end of the file */
    BIO_free(file);
    if (*count == 0)
        die(path);
    return found;
}

static void load_identity(const char *certificates, const char *key, const char *chain) {
    size_t issuers = 0;
    run.certificates = load_certificates(certificates, &run.certificate_count);
    if (SSL_CTX_use_certificate(run.context, run.certificates[0]) != 1 ||
        SSL_CTX_use_PrivateKey_file(run.context, key, SSL_FILETYPE_PEM) != 1)
        die(certificates);
    X509 **sent = chain ? load_certificates(chain, &issuers) : NULL;
    for (size_t index = 0; index < issuers; index++)
        if (SSL_CTX_add1_chain_cert(run.context, sent[index]) != 1)
            die(chain);
}

static void make_context(void) {
    run.context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(run.context, TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(run.context, TLS1_3_VERSION);
    /* The same for every server, whatever its own OpenSSL would rather have. */
    if (SSL_CTX_set1_groups_list(run.context, "X25519") != 1 ||
        SSL_CTX_set_ciphersuites(run.context, "TLS_AES_256_GCM_SHA384") != 1)
        die("groups");
    SSL_CTX_set_session_cache_mode(run.context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(run.context, count_ticket);
    SSL_CTX_set_mode(run.context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* From many addresses in turn, so that the ports of closed connections do not run out. */
static void bind_source(int socket) {
    struct sockaddr_in source = {.sin_family = AF_INET};
    int late = 1;
    source.sin_addr.s_addr = htonl(0x7fc80001u + (uint32_t)(run.connections % SOURCES));
    setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof late);
    if (bind(socket, (struct sockaddr *)&source, sizeof source) < 0)
        die("bind");
}

static void watch(struct connection *one, int operation, uint32_t interest) {
    struct epoll_event event = {.events = interest, .data.ptr = one};
    if (operation == EPOLL_CTL_MOD && one->interest == interest)
        return;
    if (epoll_ctl(run.poll, operation, one->socket, &event) < 0)
        die("epoll_ctl");
    one->interest = interest;
}

/* Takes what is to be said next; false where the connection has said all. */
static int take_step(struct connection *one) {
    const struct piece *request = &run.requests[one->request];
    one->sent = 0;
    if (run.mode == CLOSE || run.mode == KEEP) {
        one->saying = *request;
        return 1;
    }
    if (one->step == request->length)
        return 0;
    one->saying = take_piece(request, &one->step);
    one->awaited = take_piece(request, &one->step);
    return 1;
}

/* Opens the connection for the next request; false where there is none left. */
static int open_next(struct connection *one) {
    int yes = 1;
    if (run.taken == run.request_count)
        return 0;
    one->request = run.taken++;
    one->started = now();
    one->received = one->searched = one->step = 0;
    one->fresh = 1;
    take_step(one);
    one->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (one->socket < 0)
        die("socket");
    bind_source(one->socket);
    run.connections++;
    setsockopt(one->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(one->socket, (struct sockaddr *)&run.server, sizeof run.server) < 0 && errno != EINPROGRESS)
        die("connect");
    one->tls = SSL_new(run.context);
    SSL_set_fd(one->tls, one->socket);
    SSL_set_connect_state(one->tls);
    if (run.certificate_count > 1 &&
        SSL_use_certificate(one->tls, run.certificates[one->request % run.certificate_count]) != 1)
        die("certificate");
    one->phase = CONNECTING;
    watch(one, EPOLL_CTL_ADD, EPOLLOUT);
    return 1;
}

static void shut(struct connection *one) {
    SSL_shutdown(one->tls);
    SSL_free(one->tls);
    close(one->socket);
}

static enum progress fail(struct connection *one, const char *what, const char *detail) {
    unsigned long error = ERR_peek_error();
    run.failed++;
    if (!run.failure[0])
        snprintf(run.failure, sizeof run.failure, "%s: %.300s %s", what, detail,
                 error ? ERR_reason_error_string(error) : "");
    ERR_clear_error();
    shut(one);
    return OVER;
}

/* What an unfinished TLS call waits for; the failure where it is no waiting. */
static enum progress waiting(struct connection *one, int result, const char *what) {
    switch (SSL_get_error(one->tls, result)) {
    case SSL_ERROR_WANT_READ:
        return WAIT_READ;
    case SSL_ERROR_WANT_WRITE:
        return WAIT_WRITE;
    default:
        return fail(one, what, "the connection broke off");
    }
}

static enum progress finish_connect(struct connection *one) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(one->socket, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error)
        return fail(one, "connect", strerror(error));
    one->phase = SHAKING_HANDS;
    return GO_ON;
}

static void describe(SSL *tls) {
    EVP_PKEY *key = X509_get0_pubkey(SSL_get0_peer_certificate(tls));
    char curve[32] = "";
    EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL);
    snprintf(run.key, sizeof run.key, "%s %s", EVP_PKEY_get0_type_name(key), curve);
    snprintf(run.protocol, sizeof run.protocol, "%s", SSL_get_version(tls));
    snprintf(run.cipher, sizeof run.cipher, "%s", SSL_get_cipher_name(tls));
    snprintf(run.group, sizeof run.group, "%s", SSL_group_to_name(tls, (int)SSL_get_negotiated_group(tls)));
}

static enum progress shake_hands(struct connection *one) {
    int result = SSL_connect(one->tls);
    if (result != 1)
        return waiting(one, result, "handshake");
    run.resumed += (size_t)SSL_session_reused(one->tls);
    if (!run.protocol[0])
        describe(one->tls);
    one->phase = SENDING;
    return GO_ON;
}

static enum progress send_request(struct connection *one) {
    if (one->sent < one->saying.length) {
        const struct piece *saying = &one->saying;
        int result = SSL_write(one->tls, saying->bytes + one->sent, (int)(saying->length - one->sent));
        if (result <= 0)
            return waiting(one, result, "send");
        one->sent += (size_t)result;
        return GO_ON;
    }
    one->phase = RECEIVING;
    return GO_ON;
}

/* The length of the whole answer, 0 while its head is not complete. */
static size_t answer_length(struct connection *one) {
    char *end = strstr(one->answer, "\r\n\r\n");
    if (!end)
        return 0;
    size_t head = (size_t)(end - one->answer) + 4, body = 0;
    for (char *line = one->answer; line && line < end; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line, "\r\ncontent-length:", 17) == 0)
            body = strtoul(line + 17, NULL, 10);
    return head + body;
}

static enum progress next_request(struct connection *one) {
    if (run.taken == run.request_count) {
        shut(one);
        return OVER;
    }
    one->request = run.taken++;
    one->started = now();
    one->received = 0;
    take_step(one);
    one->phase = SENDING;
    return GO_ON;
}

static void count_good(struct connection *one) {
    run.microseconds[run.good++] = (now() - one->started) * 1e6;
    run.bytes_in += one->received;
}

static enum progress judge(struct connection *one) {
    if (strncmp(one->answer, run.status, strlen(run.status)) != 0 || !strstr(one->answer, run.text))
        return fail(one, "answer", one->answer);
    count_good(one);
    one->fresh = 0;
    if (run.mode == KEEP)
        return next_request(one);
    one->phase = CLOSING;
    return GO_ON;
}

/* Whether the awaited bytes are there; what follows them is left to the next step. */
static int is_answered(struct connection *one) {
    const unsigned char *from = (const unsigned char *)one->answer + one->searched, *found = from;
    if (one->awaited.length)
        found = memmem(from, one->received - one->searched, one->awaited.bytes, one->awaited.length);
    if (!found)
        return 0;
    one->searched += (size_t)(found - from) + one->awaited.length;
    return 1;
}

static enum progress receive_step(struct connection *one) {
    if (is_answered(one)) {
        one->phase = SENDING;
        if (!take_step(one)) {
            count_good(one);
            one->phase = run.mode == HOLD ? HELD : CLOSING;
        }
        return GO_ON;
    }
    if (one->received == ANSWER_LIMIT)
        return fail(one, "answer", "too long");
    int result = SSL_read(one->tls, one->answer + one->received, (int)(ANSWER_LIMIT - one->received));
    if (result <= 0)
        return waiting(one, result, "receive");
    one->received += (size_t)result;
    return GO_ON;
}

static enum progress receive(struct connection *one) {
    if (run.mode == SCRIPT || run.mode == HOLD)
        return receive_step(one);
    int result = SSL_read(one->tls, one->answer + one->received, (int)(ANSWER_LIMIT - one->received));
    if (result <= 0)
        return waiting(one, result, one->fresh ? "receive" : "receive on a kept connection");
    one->received += (size_t)result;
    one->answer[one->received] = 0;
    size_t whole = answer_length(one);
    if (whole && one->received >= whole)
        return judge(one);
    if (one->received == ANSWER_LIMIT)
        return fail(one, "answer", "too long");
    return GO_ON;
}

/* The server closes: every connection is over on both sides before the next one begins. */
static enum progress await_close(struct connection *one) {
    char rest[256];
    int result = SSL_read(one->tls, rest, sizeof rest);
    int error = SSL_get_error(one->tls, result);
    if (error == SSL_ERROR_WANT_READ)
        return WAIT_READ;
    if (result > 0 && run.mode == SCRIPT) { /* the server's own goodbye */
        run.bytes_in += (size_t)result;
        return GO_ON;
    }
    if (error != SSL_ERROR_ZERO_RETURN) {
        run.good--;
        return fail(one, "close", result > 0 ? "more than an answer came" : "without a close_notify");
    }
    shut(one);
    return OVER;
}

static enum progress hold(struct connection *one) {
    char rest[256];
    int result = SSL_read(one->tls, rest, sizeof rest);
    if (SSL_get_error(one->tls, result) == SSL_ERROR_WANT_READ)
        return WAIT_READ;
    run.good--;
    return fail(one, "held", result > 0 ? "something came" : "the server ended it");
}

static enum progress step(struct connection *one) {
    switch (one->phase) {
    case CONNECTING:
        return finish_connect(one);
    case SHAKING_HANDS:
        return shake_hands(one);
    case SENDING:
        return send_request(one);
    case RECEIVING:
        return receive(one);
    case HELD:
        return hold(one);
    default:
        return await_close(one);
    }
}

static struct connection *new_connection(void) {
    struct connection *one = calloc(1, sizeof *one);
    if (!one)
        die("memory");
    return one;
}

/* Returns how many connections ended for good (0 or 1). */
static int advance(struct connection *one) {
    enum progress progress;
    int was_held = one->phase == HELD;
    while ((progress = step(one)) == GO_ON)
        ;
    if (was_held)
        return 0;
    if (progress == OVER)
        return !open_next(one);
    if (one->phase == HELD) {
        watch(one, EPOLL_CTL_MOD, EPOLLIN);
        return run.taken == run.request_count || !open_next(new_connection());
    }
    watch(one, EPOLL_CTL_MOD, progress == WAIT_READ ? EPOLLIN : EPOLLOUT);
    return 0;
}

static void drive(size_t wanted) {
    struct epoll_event events[EVENTS];
    size_t open = 0;
    for (; open < wanted && run.taken < run.request_count; open++)
        open_next(new_connection());
    while (open) {
        int count = epoll_wait(run.poll, events, EVENTS, SILENCE_MS);
        if (count == 0)
            die("the server is silent");
        for (int index = 0; index < count; index++)
            open -= (size_t)advance(events[index].data.ptr);
    }
}

/* Stands still until standard input ends, then looks who was let down. */
static void hold_all(void) {
    struct epoll_event events[EVENTS];
    char byte;
    printf("held\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    for (int count; (count = epoll_wait(run.poll, events, EVENTS, 0)) > 0;)
        for (int index = 0; index < count; index++)
            advance(events[index].data.ptr);
}

static int by_size(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

static double percentile(double part) {
    return run.good ? run.microseconds[(size_t)(part * (double)(run.good - 1))] : 0;
}

static void print_text(const char *name, char *text) {
    for (char *at = text; *at; at++)
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
            *at = ' ';
    printf("\"%s\": \"%s\", ", name, text);
}

static void print_results(double seconds) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(run.microseconds, run.good, sizeof *run.microseconds, by_size);
    printf("{");
    print_text("protocol", run.protocol);
    print_text("cipher", run.cipher);
    print_text("group", run.group);
    print_text("key", run.key);
    print_text("failure", run.failure);
    printf("\"openssl\": \"%s\", \"requests\": %zu, \"good\": %zu, \"failed\": %zu, \"connections\": %zu, ",
           OpenSSL_version(OPENSSL_VERSION), run.request_count, run.good, run.failed, run.connections);
    printf("\"resumed\": %zu, \"tickets\": %zu, \"bytes_in\": %zu, \"seconds\": %.6f, ", run.resumed, run.tickets,
           run.bytes_in, seconds);
    printf("\"cpu_seconds\": %.6f, \"median_us\": %.0f, \"p99_us\": %.0f}\n",
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
           percentile(0.5), percentile(0.99));
}

/* False where the arguments are none. */
static int read_mode(int count, char **arguments) {
    static const char *const names[] = {"close", "keep", "script", "hold"};
    for (run.mode = CLOSE; count > 5 && run.mode <= HOLD; run.mode++)
        if (strcmp(arguments[5], names[run.mode]) == 0)
            return run.mode >= SCRIPT ? count == 6 : count == 8 || count == 10 || count == 11;
    return 0;
}

int main(int count, char **arguments) {
    if (!read_mode(count, arguments)) {
        fprintf(stderr, "usage: tls_load ADDRESS PORT REQUESTS CONNECTIONS close|keep STATUS TEXT [CERTIFICATES KEY [CHAIN]]\n"
                        "       tls_load ADDRESS PORT SCRIPTS CONNECTIONS script|hold\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    run.server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[2]))};
    if (inet_pton(AF_INET, arguments[1], &run.server.sin_addr) != 1)
        die(arguments[1]);
    load_requests(arguments[3]);
    if (run.mode == CLOSE || run.mode == KEEP) {
        snprintf(run.status, sizeof run.status, "HTTP/1.1 %s ", arguments[6]);
        run.text = arguments[7];
    }
    make_context();
    if (count >= 10)
        load_identity(arguments[8], arguments[9], count == 11 ? arguments[10] : NULL);
    run.microseconds = calloc(run.request_count, sizeof *run.microseconds);
    run.poll = epoll_create1(EPOLL_CLOEXEC);
    double started = now();
    drive((size_t)atoi(arguments[4]));
    double seconds = now() - started;
    if (run.mode == HOLD)
        hold_all();
    print_results(seconds);
    return 0;
}

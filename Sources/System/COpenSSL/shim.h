#pragma once
// OpenSSL, and wrappers for what it spells as macros or variadic functions, which Swift does not import.
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

// Initialisation without an exit handler: worker threads may still be inside OpenSSL when the process exits.
static inline int martlet_openssl_init(void) { return OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL); }

static inline void martlet_openssl_free(void *p) { OPENSSL_free(p); }

// SSL_CTX
static inline void martlet_ssl_ctx_set_defaults(SSL_CTX *ctx) {
    SSL_CTX_set_mode(
        ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
}
static inline int martlet_ssl_ctx_set_versions(SSL_CTX *ctx, int min, int max) {
    return SSL_CTX_set_min_proto_version(ctx, min) == 1 && SSL_CTX_set_max_proto_version(ctx, max) == 1;
}
static inline int martlet_ssl_ctx_set_groups(SSL_CTX *ctx, const char *list) {
    return (int)SSL_CTX_set1_groups_list(ctx, list);
}
// Sessions are kept by the application. A server's tickets are names of them, for which OpenSSL asks.
static inline void martlet_ssl_ctx_set_session_cache(SSL_CTX *ctx, int client) {
    SSL_CTX_set_session_cache_mode(ctx, (client ? SSL_SESS_CACHE_CLIENT : SSL_SESS_CACHE_SERVER) | SSL_SESS_CACHE_NO_INTERNAL);
    if (!client) SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
}
static inline int martlet_ssl_ctx_add_chain_certificate(SSL_CTX *ctx, X509 *certificate) {
    return (int)SSL_CTX_add1_chain_cert(ctx, certificate);
}
static inline void martlet_ssl_ctx_accept_server_names(SSL_CTX *ctx, int (*callback)(SSL *, int *, void *)) {
    SSL_CTX_set_tlsext_servername_callback(ctx, callback);
}

// SSL
static inline int martlet_ssl_set_server_name(SSL *ssl, const char *name) {
    return (int)SSL_set_tlsext_host_name(ssl, name);
}

// BIO
static inline void martlet_bio_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void martlet_bio_set_retry_write(BIO *bio) { BIO_set_retry_write(bio); }
static inline void martlet_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline long martlet_bio_memory(BIO *bio, char **data) { return BIO_get_mem_data(bio, data); }

// Stacks
static inline int martlet_certificates_count(const STACK_OF(X509) *stack) { return sk_X509_num(stack); }
static inline X509 *martlet_certificates_at(const STACK_OF(X509) *stack, int index) {
    return sk_X509_value(stack, index);
}
static inline STACK_OF(X509) *martlet_certificates_new(void) { return sk_X509_new_null(); }
// Adds a reference of its own.
static inline int martlet_certificates_push(STACK_OF(X509) *stack, X509 *certificate) {
    if (X509_up_ref(certificate) != 1) return 0;
    if (sk_X509_push(stack, certificate) > 0) return 1;
    X509_free(certificate);
    return 0;
}
// With a reference of its own in the place of the one that was there.
static inline int martlet_certificates_replace(STACK_OF(X509) *stack, int index, X509 *certificate) {
    if (X509_up_ref(certificate) != 1) return 0;
    X509_free(sk_X509_value(stack, index));
    sk_X509_set(stack, index, certificate);
    return 1;
}
static inline void martlet_certificates_free(STACK_OF(X509) *stack) { sk_X509_pop_free(stack, X509_free); }

// Subject alternative names
static inline GENERAL_NAMES *martlet_subject_names(const X509 *certificate) {
    return (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
}
static inline int martlet_names_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
// Bytes of a URI or DNS name, of which `type` says which; NULL for other kinds.
static inline const unsigned char *martlet_names_at(
    const GENERAL_NAMES *names, int index, int *type, int *count) {
    GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
    *type = name->type;
    if (name->type != GEN_URI && name->type != GEN_DNS) return NULL;
    *count = ASN1_STRING_length(name->d.ia5);
    return ASN1_STRING_get0_data(name->d.ia5);
}
// Adds a URI (GEN_URI) or DNS name (GEN_DNS).
static inline int martlet_names_add(GENERAL_NAMES *names, int type, const unsigned char *bytes, int count) {
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    if (name == NULL || text == NULL || ASN1_STRING_set(text, bytes, count) != 1) {
        GENERAL_NAME_free(name);
        ASN1_IA5STRING_free(text);
        return 0;
    }
    GENERAL_NAME_set0_value(name, type, text);
    if (sk_GENERAL_NAME_push(names, name) > 0) return 1;
    GENERAL_NAME_free(name);
    return 0;
}
static inline int martlet_request_add_names(X509_REQ *request, GENERAL_NAMES *names) {
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    int done = X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1
        && X509_REQ_add_extensions(request, extensions) == 1;
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return done;
}
static inline int martlet_print_name_rfc2253(BIO *bio, const X509_NAME *name) {
    return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
}

// Keys
static inline EVP_PKEY *martlet_generate_p256(void) { return EVP_EC_gen("P-256"); }
static inline void martlet_extensions_free(STACK_OF(X509_EXTENSION) *extensions) {
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}

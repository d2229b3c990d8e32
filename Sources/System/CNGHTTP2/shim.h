#pragma once
#include <nghttp2/nghttp2.h>
#include <stddef.h>
#include <stdint.h>

// Which bytes may stand where in HTTP/2 fields that are going to be written as HTTP/1.1 (RFC 9113 section 8.2.1,
// RFC 9110 sections 5.5 and 5.6.2, RFC 3986 section 3): one table, one bit per place.
enum {
    MARTLET_H2_NAME = 1,       // a token without upper-case letters
    MARTLET_H2_TOKEN = 2,      // a token
    MARTLET_H2_VALUE = 4,      // visible bytes, bytes above ASCII, space and tab
    MARTLET_H2_PATH = 8,       // visible bytes without "#" (fragments are never sent), and bytes above ASCII
    MARTLET_H2_AUTHORITY = 16  // what a host and a port are made of; no user information
};

static const uint8_t martlet_h2_byte_classes[256] = {
#define MARTLET_V (MARTLET_H2_VALUE | MARTLET_H2_PATH)
#define MARTLET_T (MARTLET_V | MARTLET_H2_NAME | MARTLET_H2_TOKEN)
#define MARTLET_A (MARTLET_T | MARTLET_H2_AUTHORITY)
#define MARTLET_U (MARTLET_V | MARTLET_H2_TOKEN | MARTLET_H2_AUTHORITY)
#define MARTLET_W (MARTLET_V | MARTLET_H2_AUTHORITY)
    ['\t'] = MARTLET_H2_VALUE,
    [' '] = MARTLET_H2_VALUE,
    ['!'] = MARTLET_A, ['"'] = MARTLET_V, ['#'] = MARTLET_T & ~MARTLET_H2_PATH, ['$'] = MARTLET_A, ['%'] = MARTLET_A,
    ['&'] = MARTLET_A, ['\''] = MARTLET_A, ['('] = MARTLET_W, [')'] = MARTLET_W, ['*'] = MARTLET_A,
    ['+'] = MARTLET_A, [','] = MARTLET_W, ['-'] = MARTLET_A, ['.'] = MARTLET_A, ['/'] = MARTLET_V,
    ['0' ... '9'] = MARTLET_A,
    [':'] = MARTLET_W, [';'] = MARTLET_W, ['<'] = MARTLET_V, ['='] = MARTLET_W, ['>'] = MARTLET_V,
    ['?'] = MARTLET_V, ['@'] = MARTLET_V,
    ['A' ... 'Z'] = MARTLET_U,
    ['['] = MARTLET_W, ['\\'] = MARTLET_V, [']'] = MARTLET_W, ['^'] = MARTLET_T, ['_'] = MARTLET_A,
    ['`'] = MARTLET_T,
    ['a' ... 'z'] = MARTLET_A,
    ['{'] = MARTLET_V, ['|'] = MARTLET_T, ['}'] = MARTLET_V, ['~'] = MARTLET_A,
    [0x80 ... 0xff] = MARTLET_V,
#undef MARTLET_V
#undef MARTLET_T
#undef MARTLET_A
#undef MARTLET_U
#undef MARTLET_W
};

// Whether all bytes belong to the class; true for none at all.
static inline int martlet_h2_bytes_are(int byte_class, const uint8_t *bytes, size_t count) {
    uint8_t common = 0xff;
    for (size_t i = 0; i < count; i++) common &= martlet_h2_byte_classes[bytes[i]];
    return (common & byte_class) != 0;
}

// Whether none of eight bytes is below space or DEL; a borrow can only come from a byte that is found anyway.
static inline int martlet_h2_are_visible(const uint8_t *bytes) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t word;
    __builtin_memcpy(&word, bytes, 8);
    uint64_t del = word ^ (ones * 0x7f);
    return ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & (ones * 0x80)) == 0;
}

// The same as asking for MARTLET_H2_VALUE, eight bytes at a time as long as there is no tab.
static inline int martlet_h2_is_value(const uint8_t *bytes, size_t count) {
    if (count >= 8) {
        size_t i = 0;
        while (i + 8 < count && martlet_h2_are_visible(bytes + i)) i += 8;
        if (i + 8 >= count && martlet_h2_are_visible(bytes + count - 8)) return 1;
    }
    return martlet_h2_bytes_are(MARTLET_H2_VALUE, bytes, count);
}

// Copies with letters in lower case.
static inline void martlet_h2_copy_lowercased(uint8_t *to, const uint8_t *from, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint8_t byte = from[i];
        to[i] = (uint8_t)(byte - 'A') < 26 ? byte | 0x20 : byte;
    }
}

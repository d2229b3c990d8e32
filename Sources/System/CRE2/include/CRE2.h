// RE2 by C functions: what `RegularExpressions` needs of it, and nothing else.
#ifndef MARTLET_CRE2_H
#define MARTLET_CRE2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct martlet_regex martlet_regex;

/// NULL if the pattern is refused; why stands in `error`, ended by a zero byte and cut to `error_size`.
/// `memory_max` bounds, in bytes, the program and what matching caches.
martlet_regex *martlet_regex_make(const uint8_t *pattern, size_t count, int64_t memory_max, char *error,
                                  size_t error_size);
void martlet_regex_free(martlet_regex *regex);

/// Instructions of its program.
int martlet_regex_size(const martlet_regex *regex);

/// The whole text, in time linear in its length. Any thread.
bool martlet_regex_matches(const martlet_regex *regex, const uint8_t *text, size_t count);

/// What every text that matches begins with: bytes written to `output`, at most `capacity`.
size_t martlet_regex_prefix(const martlet_regex *regex, uint8_t *output, size_t capacity);

/// `substitution` refers to no group that the pattern lacks, and every backslash has a digit or another one behind it.
bool martlet_regex_accepts(const martlet_regex *regex, const uint8_t *substitution, size_t count);

/// Writes the text with every match replaced; bytes written, or -1 if there are more than `capacity`.
ptrdiff_t martlet_regex_replace(const martlet_regex *regex, const uint8_t *text, size_t count,
                                const uint8_t *substitution, size_t substitution_count, uint8_t *output,
                                size_t capacity);

#ifdef __cplusplus
}
#endif

#endif

#include "CRE2.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include <re2/re2.h>

using re2::RE2;
using re2::StringPiece;

struct martlet_regex {
    RE2 re;

    martlet_regex(const StringPiece &pattern, const RE2::Options &options) : re(pattern, options) {}
};

static StringPiece piece(const uint8_t *bytes, size_t count) {
    return StringPiece(reinterpret_cast<const char *>(bytes), count);
}

martlet_regex *martlet_regex_make(const uint8_t *pattern, size_t count, int64_t memory_max, char *error,
                                  size_t error_size) {
    RE2::Options options(RE2::Quiet);
    options.set_max_mem(memory_max);
    std::unique_ptr<martlet_regex> regex(new (std::nothrow) martlet_regex(piece(pattern, count), options));
    if (regex && regex->re.ok()) return regex.release();
    const std::string reason = regex ? regex->re.error() : "no memory";
    if (error_size > 0) {
        const size_t length = std::min(reason.size(), error_size - 1);
        std::memcpy(error, reason.data(), length);
        error[length] = 0;
    }
    return nullptr;
}

void martlet_regex_free(martlet_regex *regex) { delete regex; }

int martlet_regex_size(const martlet_regex *regex) { return regex->re.ProgramSize(); }

bool martlet_regex_matches(const martlet_regex *regex, const uint8_t *text, size_t count) {
    return regex->re.Match(piece(text, count), 0, count, RE2::ANCHOR_BOTH, nullptr, 0);
}

size_t martlet_regex_prefix(const martlet_regex *regex, uint8_t *output, size_t capacity) {
    std::string low, high;
    // All matches lie between the two, so what both begin with is what all begin with.
    if (!regex->re.PossibleMatchRange(&low, &high, static_cast<int>(std::min<size_t>(capacity, 256)))) return 0;
    size_t length = 0;
    while (length < capacity && length < low.size() && length < high.size() && low[length] == high[length]) {
        output[length] = static_cast<uint8_t>(low[length]);
        length++;
    }
    return length;
}

bool martlet_regex_accepts(const martlet_regex *regex, const uint8_t *substitution, size_t count) {
    std::string error;
    return regex->re.CheckRewriteString(piece(substitution, count), &error);
}

ptrdiff_t martlet_regex_replace(const martlet_regex *regex, const uint8_t *text, size_t count,
                                const uint8_t *substitution, size_t substitution_count, uint8_t *output,
                                size_t capacity) {
    std::string result(reinterpret_cast<const char *>(text), count);
    RE2::GlobalReplace(&result, regex->re, piece(substitution, substitution_count));
    if (result.size() > capacity) return -1;
    std::memcpy(output, result.data(), result.size());
    return static_cast<ptrdiff_t>(result.size());
}

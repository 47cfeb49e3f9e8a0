// Pieces of text: where GPT-2's pattern
//     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// cuts UTF-8, written out as the automaton that it is.
#pragma once
#include <cstdint>

namespace skml_bpe {

enum Class : uint8_t { OTHER, LETTER, NUMBER, SPACE };

constexpr uint32_t N_CODES = 0x110000;

struct Character {
    int64_t end;
    uint8_t kind;
};

struct Text {
    const uint8_t* bytes;
    const uint8_t* classes;  // of each code point
    int64_t end;             // of the document

    // The character at i < end. Bytes that are no UTF-8 are characters of class OTHER, of at most `end - i` bytes.
    Character at(int64_t i) const {
        const uint32_t lead = bytes[i];
        if (lead < 0x80) return {i + 1, classes[lead]};
        const int n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
        if (n == 1 || i + n > end) return {n == 1 ? i + 1 : end, OTHER};
        uint32_t code = lead & (0x7F >> n);
        for (int k = 1; k < n; ++k) code = code << 6 | (bytes[i + k] & 0x3F);
        return {i + n, code < N_CODES ? classes[code] : static_cast<uint8_t>(OTHER)};
    }

    // The end of the run of characters of a class that begins at i.
    int64_t run(int64_t i, uint8_t kind) const {
        while (i < end) {
            const Character next = at(i);
            if (next.kind != kind) break;
            i = next.end;
        }
        return i;
    }

    // The end of 's, 't, 're, 've, 'm, 'll or 'd at an apostrophe, or i.
    int64_t contraction(int64_t i) const {
        if (i + 1 >= end) return i;
        const uint8_t a = bytes[i + 1], b = i + 2 < end ? bytes[i + 2] : 0;
        if (a == 's' || a == 't' || a == 'm' || a == 'd') return i + 2;
        return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? i + 3 : i;
    }

    // White space up to the end of the document is one piece; else its last character is left to what follows.
    int64_t spaces(int64_t i) const {
        int64_t last = i, stop = i;
        while (stop < end) {
            const Character next = at(stop);
            if (next.kind != SPACE) break;
            last = stop;
            stop = next.end;
        }
        return stop == end || last == i ? stop : last;
    }

    // The end of the piece that begins at i.
    int64_t piece(int64_t i) const {
        if (bytes[i] == '\'') {
            const int64_t stop = contraction(i);
            if (stop > i) return stop;
        }
        Character first = at(i);
        if (bytes[i] == ' ' && first.end < end) {
            const Character second = at(first.end);
            if (second.kind != SPACE) first = second;
        }
        return first.kind == SPACE ? spaces(i) : run(first.end, first.kind);
    }
};

static inline void split(const Text& text, int64_t i, uint8_t* begins) {
    while (i < text.end) {
        const int64_t stop = text.piece(i);
        begins[i] = 1;
        for (int64_t k = i + 1; k < stop; ++k) begins[k] = 0;
        i = stop;
    }
}

}  // namespace skml_bpe

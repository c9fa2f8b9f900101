/* memcpy and memset: all that the compiler asks for. Word by word where both sides allow it. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    uint8_t *target = to;
    const uint8_t *source = from;
    if ((((uintptr_t)target | (uintptr_t)source) & 3u) == 0) {
        for (; size >= 4; size -= 4, target += 4, source += 4) {
            *(uint32_t *)(void *)target = *(const uint32_t *)(const void *)source;
        }
    }
    while (size-- > 0) {
        *target++ = *source++;
    }
    return to;
}

void *memset(void *to, int value, size_t size) {
    uint8_t *target = to;
    if (((uintptr_t)target & 3u) == 0) {
        for (; size >= 4; size -= 4, target += 4) {
            *(uint32_t *)(void *)target = (uint8_t)value * 0x01010101u;
        }
    }
    while (size-- > 0) {
        *target++ = (uint8_t)value;
    }
    return to;
}

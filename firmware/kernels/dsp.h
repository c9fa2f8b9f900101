/* The instructions of the DSP extension that the kernels use, by name; in portable C where the core has none, so that
 * the same kernels can be tested on any computer. A word holds two 16-bit lanes. */
#ifndef HILNAS_DSP_H
#define HILNAS_DSP_H

#include <stdint.h>
#include <string.h>

static inline uint32_t hilnas_load(const void *address) {
    uint32_t word;
    memcpy(&word, address, sizeof word);
    return word;
}

static inline void hilnas_store(void *address, uint32_t word) {
    memcpy(address, &word, sizeof word);
}

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

#include <arm_acle.h>

/* sum + low a * low b + high a * high b */
static inline int32_t hilnas_smlad(uint32_t a, uint32_t b, int32_t sum) {
    return __smlad((int16x2_t)a, (int16x2_t)b, sum);
}

/* sum + low a * high b */
static inline int32_t hilnas_smlabt(uint32_t a, uint32_t b, int32_t sum) {
    return __smlabt((int32_t)a, (int32_t)b, sum);
}

/* sum + high a * low b */
static inline int32_t hilnas_smlatb(uint32_t a, uint32_t b, int32_t sum) {
    return __smlatb((int32_t)a, (int32_t)b, sum);
}

/* Bytes 0 and 2, sign-extended. */
static inline uint32_t hilnas_even_bytes(uint32_t bytes) {
    uint32_t lanes;
    __asm("sxtb16 %0, %1" : "=r"(lanes) : "r"(bytes));
    return lanes;
}

/* Bytes 1 and 3, sign-extended. */
static inline uint32_t hilnas_odd_bytes(uint32_t bytes) {
    uint32_t lanes;
    __asm("sxtb16 %0, %1, ror #8" : "=r"(lanes) : "r"(bytes));
    return lanes;
}

/* The lanes, each with one of the bytes 0 and 2 added. */
static inline uint32_t hilnas_add_even_bytes(uint32_t lanes, uint32_t bytes) {
    uint32_t sums;
    __asm("sxtab16 %0, %1, %2" : "=r"(sums) : "r"(lanes), "r"(bytes));
    return sums;
}

/* The lanes, each with one of the bytes 1 and 3 added. */
static inline uint32_t hilnas_add_odd_bytes(uint32_t lanes, uint32_t bytes) {
    uint32_t sums;
    __asm("sxtab16 %0, %1, %2, ror #8" : "=r"(sums) : "r"(lanes), "r"(bytes));
    return sums;
}

/* The low lanes of both, a's below. */
static inline uint32_t hilnas_low_lanes(uint32_t a, uint32_t b) {
    uint32_t lanes;
    __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(lanes) : "r"(a), "r"(b));
    return lanes;
}

/* The high lanes of both, a's below. */
static inline uint32_t hilnas_high_lanes(uint32_t a, uint32_t b) {
    uint32_t lanes;
    __asm("pkhtb %0, %1, %2, asr #16" : "=r"(lanes) : "r"(b), "r"(a));
    return lanes;
}

/* round(a * b / 2^32) */
static inline int32_t hilnas_smmulr(int32_t a, int32_t b) {
    int32_t high;
    __asm("smmulr %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
    return high;
}

/* Within int8. */
static inline int32_t hilnas_saturate(int32_t value) {
    int32_t saturated;
    __asm("ssat %0, #8, %1" : "=r"(saturated) : "r"(value));
    return saturated;
}

#else

static inline int32_t hilnas_saturate(int32_t value) {
    return value < INT8_MIN ? INT8_MIN : value > INT8_MAX ? INT8_MAX : value;
}

static inline int32_t hilnas_lane(uint32_t word, int32_t index) {
    return (int16_t)(uint16_t)(word >> (16 * index));
}

static inline int32_t hilnas_wrapping_add(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int32_t hilnas_smlad(uint32_t a, uint32_t b, int32_t sum) {
    const int32_t low = hilnas_lane(a, 0) * hilnas_lane(b, 0), high = hilnas_lane(a, 1) * hilnas_lane(b, 1);
    return hilnas_wrapping_add(hilnas_wrapping_add(sum, low), high);
}

static inline int32_t hilnas_smlabt(uint32_t a, uint32_t b, int32_t sum) {
    return hilnas_wrapping_add(sum, hilnas_lane(a, 0) * hilnas_lane(b, 1));
}

static inline int32_t hilnas_smlatb(uint32_t a, uint32_t b, int32_t sum) {
    return hilnas_wrapping_add(sum, hilnas_lane(a, 1) * hilnas_lane(b, 0));
}

static inline uint32_t hilnas_even_bytes(uint32_t bytes) {
    const int32_t low = (int8_t)(uint8_t)bytes, high = (int8_t)(uint8_t)(bytes >> 16);
    return ((uint32_t)low & 0xFFFFu) | ((uint32_t)high << 16);
}

static inline uint32_t hilnas_odd_bytes(uint32_t bytes) {
    return hilnas_even_bytes(bytes >> 8);
}

static inline uint32_t hilnas_add_even_bytes(uint32_t lanes, uint32_t bytes) {
    const uint32_t addends = hilnas_even_bytes(bytes);
    return ((lanes + addends) & 0xFFFFu) | ((lanes & 0xFFFF0000u) + (addends & 0xFFFF0000u));
}

static inline uint32_t hilnas_add_odd_bytes(uint32_t lanes, uint32_t bytes) {
    return hilnas_add_even_bytes(lanes, bytes >> 8);
}

static inline uint32_t hilnas_low_lanes(uint32_t a, uint32_t b) {
    return (a & 0xFFFFu) | (b << 16);
}

static inline uint32_t hilnas_high_lanes(uint32_t a, uint32_t b) {
    return (a >> 16) | (b & 0xFFFF0000u);
}

static inline int32_t hilnas_smmulr(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (1ll << 31)) >> 32);
}

#endif

static inline int32_t hilnas_low_lane(uint32_t lanes) {
    return (int16_t)(uint16_t)lanes;
}

static inline int32_t hilnas_high_lane(uint32_t lanes) {
    return (int16_t)(uint16_t)(lanes >> 16);
}

/* Four bytes, the first lowest. */
static inline uint32_t hilnas_pack(int32_t a, int32_t b, int32_t c, int32_t d) {
    return ((uint32_t)a & 0xFFu) | ((uint32_t)b & 0xFFu) << 8 | ((uint32_t)c & 0xFFu) << 16 | (uint32_t)d << 24;
}

/* How accumulators of one output channel become outputs with few instructions: |acc| < 2^30 and 1 <= shift <= 22 are
 * known. */
typedef struct {
    int32_t multiplier;
    int32_t shift;  /* to the right */
    int32_t offset; /* zero point and rounding: (2 * zero point + 1) * 2^(shift - 1) */
} hilnas_bounded_scale;

/* acc * multiplier / 2^31 / 2^shift + zero point, rounded twice as hilnas_scale does. */
static inline int32_t hilnas_scale_bounded(int32_t accumulator, hilnas_bounded_scale scale) {
    const int32_t product = hilnas_smmulr(accumulator * 2, scale.multiplier);
    return (product + (product >> 31) + scale.offset) >> scale.shift;
}

#endif

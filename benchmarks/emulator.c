/* Work for the emulator's benchmark: an int8 convolution as inference engines do it on a Cortex-M7: words of four
 * weights and inputs, extended and multiplied two at a time, and the sum requantised. */
#include <arm_acle.h>
#include <stdint.h>

enum { POSITIONS = 32 * 32, CHANNELS = 64, FILTERS = 16, TURNS = 16 };

int8_t input[POSITIONS * CHANNELS] __attribute__((aligned(4))), output[POSITIONS * FILTERS];
static const int8_t weights[FILTERS * CHANNELS] __attribute__((aligned(4))) = {1, -2, 3};

extern uint32_t stack_top;

static uint32_t rotated(uint32_t value) {
    return value >> 8 | value << 24;
}

static int32_t clamp(int32_t value) {
    return value < -128 ? -128 : value > 127 ? 127 : value;
}

__attribute__((noinline)) static void convolve(void) {
    for (int position = 0; position < POSITIONS; position++) {
        for (int filter = 0; filter < FILTERS; filter++) {
            const uint32_t *values = (const uint32_t *)&input[position * CHANNELS];
            const uint32_t *factors = (const uint32_t *)&weights[filter * CHANNELS];
            int32_t sum = filter;
            for (int word = 0; word < CHANNELS / 4; word++) {
                sum = __smlad(__sxtb16(values[word]), __sxtb16(factors[word]), sum);
                sum = __smlad(__sxtb16(rotated(values[word])), __sxtb16(rotated(factors[word])), sum);
            }
            output[position * FILTERS + filter] = (int8_t)clamp((int32_t)((int64_t)sum * 1234567890 >> 35));
        }
    }
}

__attribute__((noinline, used)) void done(void) {
    __asm volatile("bkpt 0");
}

void reset(void) {
    for (int turn = 0; turn < TURNS; turn++) {
        input[turn] = (int8_t)turn;
        convolve();
    }
    done();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {&stack_top, reset};

"""Small programs for a board without its runtime: compiled C with semihosting, one vector table, data in AXI SRAM."""

from pathlib import Path

from hilnas.firmware.toolchain import ARM

PRELUDE = r"""
#include <stdint.h>
extern uint32_t stack_top;
void reset(void);
__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {&stack_top, reset};
static inline int semihosting(int operation, const void *argument) {
    register int r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
static inline void finish(void) { semihosting(0x18, (void *)0x20026); }
"""

CONVOLUTION = r"""
enum { ROWS = 40, CHANNELS = 96, FILTERS = 48 };
int8_t input[ROWS * CHANNELS], output[ROWS * FILTERS];
static const int8_t weights[FILTERS * CHANNELS] = {1, 2, 3};
__attribute__((noinline)) int32_t dot(const int8_t *a, const int8_t *b) {
    int32_t sum = 0;
    for (int i = 0; i < CHANNELS; i++) sum += a[i] * b[i];
    return sum;
}
__attribute__((noinline)) void mark(void) { __asm volatile(""); }
void reset(void) {
    semihosting(4, "hello\n");
    for (int turn = 0; turn < 2; turn++) {
        mark();
        for (int row = 0; row < ROWS; row++)
            for (int filter = 0; filter < FILTERS; filter++)
                output[row * FILTERS + filter] = (int8_t)(dot(&input[row * CHANNELS], &weights[filter * CHANNELS]) >> 4);
    }
    mark();
    finish();
}
"""


def compile_program(source: str, folder: Path, optimise: str = "-O2") -> Path:
    """Compiles C for the nucleo-h743zi2: code and constants in flash, variables in AXI SRAM, stack in DTCM."""
    (folder / "program.c").write_text(PRELUDE + source)
    elf = folder / "program.elf"
    places = ("-Wl,--section-start=.vectors=0x08000000", "-Wl,-Ttext=0x08000100", "-Wl,-Tbss=0x24000000", "-Wl,-Tdata=0x24040000")
    core = ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard")
    ARM.run([*core, optimise, "-nostdlib", "-Wl,-e,reset", "-Wl,--defsym=stack_top=0x20020000", *places, folder / "program.c", "-o", elf])
    return elf

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


LINKER_SCRIPT = """
ENTRY(Reset_Handler)
MEMORY {
  FLASH (rx) : ORIGIN = FLASH_ORIGIN, LENGTH = 2M
  RAM (rw) : ORIGIN = RAM_ORIGIN, LENGTH = 512K
}
_estack = ORIGIN(RAM) + LENGTH(RAM);
SECTIONS {
  .isr_vector : { KEEP(*(.isr_vector)) } >FLASH
  .text : { *(.text*) *(.rodata*) KEEP(*(.init)) KEEP(*(.fini)) *(.eh_frame*) } >FLASH
  .ARM.exidx : { __exidx_start = .; *(.ARM.exidx*) __exidx_end = .; } >FLASH
  .preinit_array : { __preinit_array_start = .; KEEP(*(.preinit_array*)) __preinit_array_end = .; } >FLASH
  .init_array : { __init_array_start = .; KEEP(*(.init_array*)) __init_array_end = .; } >FLASH
  .fini_array : { __fini_array_start = .; KEEP(*(.fini_array*)) __fini_array_end = .; } >FLASH
  _sidata = LOADADDR(.data);
  .data : { _sdata = .; *(.data*) . = ALIGN(4); _edata = .; } >RAM AT>FLASH
  .arena (NOLOAD) : { *(.bss.hilnas_arena*) } >RAM
  .bss (NOLOAD) : { _sbss = .; *(.bss*) *(COMMON) . = ALIGN(4); _ebss = .; end = .; } >RAM
}
"""

STARTUP = r"""
#include <stdint.h>
extern uint32_t _estack, _sidata, _sdata, _edata, _sbss, _ebss;
int main(void);
void __libc_init_array(void), initialise_monitor_handles(void), exit(int);
void Reset_Handler(void);
__attribute__((weak)) void SVC_Handler(void) { for (;;); }
__attribute__((weak)) void PendSV_Handler(void) { for (;;); }
__attribute__((weak)) void SysTick_Handler(void) { for (;;); }
__attribute__((section(".isr_vector"), used)) const void *const vectors[16] = {
    &_estack, Reset_Handler, 0, 0, 0, 0, 0, 0, 0, 0, 0, SVC_Handler, 0, 0, PendSV_Handler, SysTick_Handler};
void _init(void) {}
void _fini(void) {}
void Reset_Handler(void) {
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20;
    uint32_t *from = &_sidata;
    for (uint32_t *to = &_sdata; to < &_edata;) *to++ = *from++;
    for (uint32_t *to = &_sbss; to < &_ebss;) *to++ = 0;
    initialise_monitor_handles();
    __libc_init_array();
    exit(main());
}
"""

_CORE = ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard", "-O2")
_NEWLIB = ("--specs=nano.specs", "--specs=rdimon.specs", "-u", "_printf_float", "-lm")


def compile_hosted(
    source: str,
    folder: Path,
    library: Path | None = None,
    flash: int = 0x08000000,
    ram: int = 0x24000000,
    core: tuple[str, ...] = _CORE,
) -> Path:
    """Compiles C as others do: vendor-like start-up code and linker script, newlib, semihosting; and a library of C.

    Code is in flash and all data in one RAM: those of a STM32H743, or at other addresses and for another core.
    """
    (folder / "main.c").write_text(source)
    (folder / "startup.c").write_text(STARTUP)
    (folder / "flash.ld").write_text(LINKER_SCRIPT.replace("FLASH_ORIGIN", f"{flash:#x}").replace("RAM_ORIGIN", f"{ram:#x}"))
    elf = folder / "hosted.elf"
    sources = [folder / "main.c", folder / "startup.c"]
    if library is not None:
        sources += [*sorted(library.glob("*.c")), *sorted(library.glob("*.S")), f"-I{library}"]
    ARM.run([*core, *sources, "-nostartfiles", "-T", folder / "flash.ld", *_NEWLIB, "-o", elf])
    return elf


def compile_for_ram(source: str, folder: Path) -> Path:
    """Compiles C with newlib's own start-up code and linker script, without a table of vectors, for AXI SRAM."""
    (folder / "main.c").write_text(source)
    elf = folder / "ram.elf"
    places = ("-Wl,--section-start=.init=0x24000000", "-Wl,-Ttext=0x24000100")
    ARM.run([*_CORE, folder / "main.c", *places, *_NEWLIB, "-o", elf])
    return elf

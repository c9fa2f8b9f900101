/* The peripherals of the parts: registers that behave as the reference manuals say, as far as firmware can see. */
#ifndef HILNAS_PERIPHERALS_H
#define HILNAS_PERIPHERALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PERIPHERAL_WORDS 1024u

typedef struct peripherals peripherals;
typedef struct peripheral peripheral;

typedef struct {
    const char *name;
    uint32_t (*read)(peripherals *all, peripheral *self, uint32_t offset);
    void (*write)(peripherals *all, peripheral *self, uint32_t offset, uint32_t value);
    void (*reset)(peripheral *self);
} peripheral_model;

/* `clock_offset` and `clock_bit` name the bit of RCC that clocks it; an offset of 0 means always clocked. */
typedef struct {
    const peripheral_model *model;
    uint32_t base;
    uint32_t size;
    uint16_t clock_offset;
    uint16_t clock_bit;
} peripheral_place;

struct peripheral {
    const peripheral_place *place;
    uint32_t words[PERIPHERAL_WORDS];
};

typedef struct {
    uint8_t *data;
    size_t begin, end, capacity;
} byte_queue;

void queue_push(byte_queue *self, const uint8_t *data, size_t size);
size_t queue_pop(byte_queue *self, uint8_t *data, size_t capacity);
size_t queue_size(const byte_queue *self);

/* What a core says of itself, and what Unicorn calls it. */
typedef struct {
    int unicorn_model;
    uint32_t cpuid, clidr, mpu_regions;
} core_model;

typedef struct {
    const char *name;
    const core_model *core;
    const peripheral_place *places;
    size_t count;
    uint32_t data_cache_bytes;
    uint32_t instruction_cache_bytes;
    uint64_t (*clock_hz)(const peripherals *all);
} part;

struct peripherals {
    const part *part;
    peripheral *items;
    size_t count;
    peripheral *rcc, *scs;
    uint32_t uart_base;
    uint32_t regions[16][2]; /* of the MPU: RBAR and RASR */
    byte_queue to_host, to_device;
    uint32_t empty_polls;           /* reads of the UART's status in a row that found nothing received */
    uint64_t first_poll, last_poll; /* when, in cycles */
    bool reset_requested;
    uint64_t (*cycles)(void *machine);
    void (*maintain)(void *machine, uint32_t offset, uint32_t value); /* caches, MPU and branch prediction */
    void *machine;
    uint64_t cycle_counter_zero, systick_zero; /* the cycles at which the counters were zero */
    uint32_t systick_wraps_seen, systick_wraps_pended;
    bool may_interrupt; /* the firmware has asked for an exception, or for one at each wrap of SysTick */
};

typedef enum { ACCESS_DONE, ACCESS_UNMAPPED, ACCESS_UNCLOCKED } access_result;

bool peripherals_create(peripherals *self, const char *part_name, uint32_t uart_base);
void peripherals_destroy(peripherals *self);
void peripherals_reset(peripherals *self);
access_result peripherals_read(peripherals *self, uint32_t address, uint32_t size, uint32_t *value);
access_result peripherals_write(peripherals *self, uint32_t address, uint32_t size, uint32_t value);

/* Whether the firmware does nothing but wait for a byte that is not there. */
bool peripherals_idle(const peripherals *self);

/* Where the table of vectors is until the firmware moves it. */
void peripherals_set_vectors(peripherals *self, uint32_t address);

/* The firmware sees a debugger, which answers its semihosting calls. */
void peripherals_attach_debugger(peripherals *self);

/* Writes into its registers what the core says of itself. */
void core_identify(peripheral *scs, const core_model *core);

/* Whether an exception is pending that the firmware has asked for. */
bool peripherals_interrupt(peripherals *self);

/* Cycles until SysTick interrupts; false if it does not. */
bool peripherals_next_tick(const peripherals *self, uint64_t *cycles);

/* Registers that keep what is written. */
uint32_t plain_read(peripherals *all, peripheral *self, uint32_t offset);
void plain_write(peripherals *all, peripheral *self, uint32_t offset, uint32_t value);

/* The models: parts.c says which part has which of them where. */
extern const peripheral_model stm32h7_rcc, stm32h7_pwr, stm32h7_flash;
extern const peripheral_model stm32f7_rcc, stm32f7_pwr, plain_registers;
extern const peripheral_model stm32l4_rcc, stm32l4_pwr, stm32l4_flash;
extern const peripheral_model stm32_usart, cmsdk_uart, core_scs, core_dwt;
uint64_t stm32h7_clock_hz(const peripherals *all);
uint64_t stm32f7_clock_hz(const peripherals *all);
uint64_t stm32l4_clock_hz(const peripherals *all);

const part *part_find(const char *name);

#endif

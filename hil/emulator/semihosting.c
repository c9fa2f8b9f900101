#include "semihosting.h"
#include <string.h>

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITEC = 0x03,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_READC = 0x07,
    SYS_ISERROR = 0x08,
    SYS_ISTTY = 0x09,
    SYS_SEEK = 0x0A,
    SYS_FLEN = 0x0C,
    SYS_CLOCK = 0x10,
    SYS_TIME = 0x11,
    SYS_ERRNO = 0x13,
    SYS_GET_CMDLINE = 0x15,
    SYS_HEAPINFO = 0x16,
    SYS_EXIT = 0x18,
    SYS_EXIT_EXTENDED = 0x20,
    SYS_ELAPSED = 0x30,
    SYS_TICKFREQ = 0x31,
};

enum { APPLICATION_EXIT = 0x20026, NO_SUCH_FILE = 2, NAME_BYTES = 32 };

/* Handles: of the console by the mode in which it is opened, and of the file of extensions. */
enum { CONSOLE_IN = 1, CONSOLE_OUT, CONSOLE_ERROR, FEATURES };

/* The file ":semihosting-features": SYS_EXIT_EXTENDED is there, and standard error is told from standard output. */
static const uint8_t features[5] = {0x53, 0x48, 0x46, 0x42, 0x03};

static uint32_t word_at(uc_engine *uc, uint32_t address) {
    uint32_t word = 0;
    uc_mem_read(uc, address, &word, sizeof(word));
    return word;
}

static void put_word(uc_engine *uc, uint32_t address, uint32_t word) {
    uc_mem_write(uc, address, &word, sizeof(word));
}

static void write_bytes(uc_engine *uc, byte_queue *console, uint32_t address, uint32_t size, bool until_zero) {
    uint8_t byte;
    for (uint32_t i = 0; i < size && uc_mem_read(uc, address + i, &byte, 1) == UC_ERR_OK; i++) {
        if (until_zero && byte == 0) {
            return;
        }
        queue_push(console, &byte, 1);
    }
}

/* Modes are those of fopen, four each to read, write and append. */
static uint32_t open_file(semihosting *self, uc_engine *uc, uint32_t name_address, uint32_t mode) {
    char name[NAME_BYTES] = {0};
    for (size_t i = 0; i + 1 < sizeof(name); i++) {
        if (uc_mem_read(uc, name_address + (uint32_t)i, &name[i], 1) != UC_ERR_OK || name[i] == 0) {
            break;
        }
    }
    if (strcmp(name, ":tt") == 0) {
        return CONSOLE_IN + (mode / 4 < 2 ? mode / 4 : 2);
    }
    if (strcmp(name, ":semihosting-features") == 0) {
        self->features_read = 0;
        return FEATURES;
    }
    return UINT32_MAX;
}

/* Returns how many bytes were not read. The console has nothing to read. */
static uint32_t read_file(semihosting *self, uc_engine *uc, uint32_t handle, uint32_t address, uint32_t size) {
    uint32_t left = handle == FEATURES ? (uint32_t)sizeof(features) - self->features_read : 0;
    uint32_t count = size < left ? size : left;
    uc_mem_write(uc, address, features + self->features_read, count);
    self->features_read += count;
    return size - count;
}

static uint32_t seek(semihosting *self, uint32_t handle, uint32_t position) {
    if (handle != FEATURES || position > sizeof(features)) {
        return UINT32_MAX;
    }
    self->features_read = position;
    return 0;
}

static void heap_info(const semihosting *self, uc_engine *uc, uint32_t address) {
    for (uint32_t i = 0; i < 4; i++) {
        put_word(uc, address + 4 * i, self->heap[i]);
    }
}

static uint32_t seconds(const semihosting *self, uint64_t cycles, double parts) {
    return self->cycles_per_second > 0 ? (uint32_t)((double)cycles / self->cycles_per_second * parts) : UINT32_MAX;
}

/* The result of a call that does not end the run; `is_refused` if nothing was done. */
static uint32_t answer(semihosting *self, uc_engine *uc, uint32_t operation, uint32_t argument, uint64_t cycles,
                       bool *is_refused) {
    uint32_t first = operation == SYS_WRITEC ? 0 : word_at(uc, argument), second = word_at(uc, argument + 4);
    uint32_t result = 0;
    switch (operation) {
    case SYS_OPEN:
        result = open_file(self, uc, first, second);
        *is_refused = result == UINT32_MAX;
        break;
    case SYS_CLOSE:
        break;
    case SYS_WRITEC:
        write_bytes(uc, &self->console, argument, 1, false);
        break;
    case SYS_WRITE0:
        write_bytes(uc, &self->console, argument, UINT32_MAX, true);
        break;
    case SYS_WRITE:
        write_bytes(uc, &self->console, second, word_at(uc, argument + 8), false);
        break;
    case SYS_READ:
        return read_file(self, uc, first, second, word_at(uc, argument + 8));
    case SYS_ISERROR:
        return first >> 31;
    case SYS_ISTTY:
        return first < FEATURES;
    case SYS_SEEK:
        return seek(self, first, second);
    case SYS_FLEN:
        return first == FEATURES ? sizeof(features) : 0;
    case SYS_CLOCK:
        return seconds(self, cycles, 100);
    case SYS_TIME:
        return seconds(self, cycles, 1);
    case SYS_ERRNO:
        return NO_SUCH_FILE;
    case SYS_GET_CMDLINE: /* an empty one */
        if (second > 0) {
            uc_mem_write(uc, first, "", 1);
        }
        put_word(uc, argument + 4, 0);
        break;
    case SYS_HEAPINFO:
        heap_info(self, uc, first);
        break;
    case SYS_ELAPSED:
        put_word(uc, argument, (uint32_t)cycles);
        put_word(uc, argument + 4, (uint32_t)(cycles >> 32));
        break;
    case SYS_TICKFREQ:
        return self->cycles_per_second > 0 ? (uint32_t)self->cycles_per_second : UINT32_MAX;
    default:
        *is_refused = true;
        result = UINT32_MAX;
    }
    return result;
}

semihosting_result semihosting_call(semihosting *self, uc_engine *uc, uint64_t cycles, uint32_t *exit_code) {
    uint32_t operation = 0, argument = 0;
    uc_reg_read(uc, UC_ARM_REG_R0, &operation);
    uc_reg_read(uc, UC_ARM_REG_R1, &argument);
    if (operation == SYS_EXIT) {
        *exit_code = argument == APPLICATION_EXIT ? 0 : 1;
        return SEMIHOSTING_EXIT;
    }
    if (operation == SYS_EXIT_EXTENDED) {
        *exit_code = word_at(uc, argument) == APPLICATION_EXIT ? word_at(uc, argument + 4) : 1;
        return SEMIHOSTING_EXIT;
    }
    bool is_refused = false;
    uint32_t result = answer(self, uc, operation, argument, cycles, &is_refused);
    uc_reg_write(uc, UC_ARM_REG_R0, &result);
    return is_refused ? SEMIHOSTING_REFUSED : SEMIHOSTING_DONE;
}

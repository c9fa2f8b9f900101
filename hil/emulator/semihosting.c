#include "semihosting.h"

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITEC = 0x03,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_ISTTY = 0x09,
    SYS_HEAPINFO = 0x16,
    SYS_EXIT = 0x18,
    SYS_EXIT_EXTENDED = 0x20,
    APPLICATION_EXIT = 0x20026,
    CONSOLE_HANDLE = 1,
};

static uint32_t word_at(uc_engine *uc, uint32_t address) {
    uint32_t word = 0;
    uc_mem_read(uc, address, &word, sizeof(word));
    return word;
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

bool semihosting_call(uc_engine *uc, byte_queue *console, uint32_t *exit_code) {
    uint32_t operation = 0, argument = 0, result = 0;
    uc_reg_read(uc, UC_ARM_REG_R0, &operation);
    uc_reg_read(uc, UC_ARM_REG_R1, &argument);
    switch (operation) {
    case SYS_OPEN:
    case SYS_ISTTY:
        result = CONSOLE_HANDLE;
        break;
    case SYS_CLOSE:
        break;
    case SYS_WRITEC:
        write_bytes(uc, console, argument, 1, false);
        break;
    case SYS_WRITE0:
        write_bytes(uc, console, argument, UINT32_MAX, true);
        break;
    case SYS_WRITE:
        write_bytes(uc, console, word_at(uc, argument + 4), word_at(uc, argument + 8), false);
        break;
    case SYS_HEAPINFO: { /* all zero: the firmware knows best */
        uint32_t nothing[4] = {0};
        uc_mem_write(uc, word_at(uc, argument), nothing, sizeof(nothing));
        break;
    }
    case SYS_EXIT:
        *exit_code = argument == APPLICATION_EXIT ? 0 : 1;
        return true;
    case SYS_EXIT_EXTENDED:
        *exit_code = word_at(uc, argument) == APPLICATION_EXIT ? word_at(uc, argument + 4) : 1;
        return true;
    default:
        result = UINT32_MAX; /* not supported */
    }
    uc_reg_write(uc, UC_ARM_REG_R0, &result);
    return false;
}

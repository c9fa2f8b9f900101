/* A plugin of QEMU's code generator (its API version 1, of QEMU 6 to 8) that counts how often each instruction runs.
 *
 * The counts are in a file that the host maps, so they can be read while QEMU runs and stay when it is killed. Counted
 * are instructions and not translated blocks: with -icount QEMU leaves blocks in the middle and translates them again.
 *
 * Arguments: counts=PATH, of `struct counts` with `size` / 2 counters; base=ADDRESS and size=BYTES of the code;
 * run=ADDRESS and mark=ADDRESS of the functions that begin an inference and stand between its layers. */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What is used of QEMU's qemu-plugin.h, declared anew. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_CB_NO_REGS = 0, QEMU_PLUGIN_INLINE_ADD_U64 = 0 };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t id, struct qemu_plugin_tb *block));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *instruction,
                                            void (*callback)(unsigned cpu, void *data), int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *instruction, int operation, void *where,
                                                uint64_t value);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *instruction);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

struct counts {
    uint64_t between_marks;  /* instructions between the marks of all inferences */
    uint64_t elsewhere;      /* instructions outside of the code */
    uint64_t instructions[]; /* by address: one counter a half-word of the code */
};

static struct counts *counts;
static uint32_t base, size, run_address, mark_address;
static uint32_t used_from = UINT32_MAX, used_to; /* the counters that are in use */
static uint64_t total_at_leave;
static bool is_between_marks;
static uint8_t *is_behind_mark; /* one byte a half-word of the code: whether a call of the mark returns there */

static uint64_t total(void) {
    uint64_t sum = counts->elsewhere;
    for (uint32_t index = used_from; index < used_to; index++) {
        sum += counts->instructions[index];
    }
    return sum;
}

static void on_run(unsigned cpu, void *data) {
    (void)cpu, (void)data;
    is_between_marks = false;
}

static void on_mark(unsigned cpu, void *data) {
    (void)cpu, (void)data;
    if (is_between_marks) {
        counts->between_marks += total() - total_at_leave;
    }
    is_between_marks = false;
}

static void on_behind_mark(unsigned cpu, void *data) {
    (void)cpu, (void)data;
    total_at_leave = total();
    is_between_marks = true;
}

/* Where BL (encoding T1 of Armv7-M) at `address` goes to; 0 for any other instruction. */
static uint32_t call_target(const uint8_t *code, size_t bytes, uint32_t address) {
    uint32_t high = (uint32_t)code[1] << 8 | code[0];
    uint32_t low = bytes == 4 ? (uint32_t)code[3] << 8 | code[2] : 0;
    if (high >> 11 != 0x1E || (low & 0xD000) != 0xD000) {
        return 0;
    }
    uint32_t sign = high >> 10 & 1, i1 = (low >> 13 & 1) ^ sign ^ 1, i2 = (low >> 11 & 1) ^ sign ^ 1;
    uint32_t offset = (sign ? 0xFF000000u : 0) | i1 << 23 | i2 << 22 | (high & 0x3FF) << 12 | (low & 0x7FF) << 1;
    return address + 4 + offset;
}

static void instrument(struct qemu_plugin_insn *instruction) {
    uint32_t address = (uint32_t)qemu_plugin_insn_vaddr(instruction);
    size_t bytes = qemu_plugin_insn_size(instruction);
    if (address - base >= size) {
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64, &counts->elsewhere, 1);
        return;
    }
    uint32_t index = (address - base) / 2;
    used_from = index < used_from ? index : used_from;
    used_to = index >= used_to ? index + 1 : used_to;
    if (address == run_address) {
        qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_run, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    if (address == mark_address) {
        qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_mark, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    if (is_behind_mark[index]) {
        qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_behind_mark, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    if (mark_address && call_target(qemu_plugin_insn_data(instruction), bytes, address) == mark_address &&
        index + 2 < size / 2) {
        is_behind_mark[index + 2] = 1; /* a call ends its block: what follows is translated later */
    }
    qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64, &counts->instructions[index],
                                               1);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t index = 0; index < qemu_plugin_tb_n_insns(block); index++) {
        instrument(qemu_plugin_tb_get_insn(block, index));
    }
}

static const char *argument(int count, char **arguments, const char *name) {
    size_t length = strlen(name);
    for (int index = 0; index < count; index++) {
        if (strncmp(arguments[index], name, length) == 0 && arguments[index][length] == '=') {
            return arguments[index] + length + 1;
        }
    }
    return "";
}

static uint32_t number(int count, char **arguments, const char *name) {
    return (uint32_t)strtoul(argument(count, arguments, name), NULL, 0);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count, char **arguments) {
    (void)info;
    base = number(count, arguments, "base");
    size = number(count, arguments, "size");
    run_address = number(count, arguments, "run");
    mark_address = number(count, arguments, "mark");
    is_behind_mark = calloc(size / 2 + 1, 1);
    int file = open(argument(count, arguments, "counts"), O_RDWR);
    size_t length = sizeof(struct counts) + size / 2 * sizeof(uint64_t);
    counts = file < 0 ? MAP_FAILED : mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counts == MAP_FAILED || !is_behind_mark) {
        return -1;
    }
    close(file);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}

/* A Thumb-2 instruction reduced to what its timing needs: registers by role, results by kind, pairing traits, memory,
 * branch. */
#ifndef HILNAS_TIMING_INSTRUCTION_H
#define HILNAS_TIMING_INSTRUCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What produced a register: the row of the latency table. */
#define RESULT_KINDS(X)                                                                                                \
    X(EARLY_ALU, early_alu)                                                                                            \
    X(LATE_ALU, late_alu)                                                                                              \
    X(ADDRESS_UPDATE, address_update)                                                                                  \
    X(REVERSE, reverse)                                                                                                \
    X(DSP, dsp)                                                                                                        \
    X(SATURATE, saturate)                                                                                              \
    X(MULTIPLY, multiply)                                                                                              \
    X(LOAD_WORD, load_word)                                                                                            \
    X(LOAD_NARROW, load_narrow)                                                                                        \
    X(FLAGS, flags)                                                                                                    \
    X(FPU_TO_CORE, fpu_to_core)                                                                                        \
    X(CORE_TO_FPU, core_to_fpu)                                                                                        \
    X(FP_LOAD, fp_load)                                                                                                \
    X(FP_ARITHMETIC, fp_arithmetic)                                                                                    \
    X(FP_FUSED, fp_fused)                                                                                              \
    X(FP_CHAINED, fp_chained)                                                                                          \
    X(FP_COMPARE, fp_compare)

/* How a register is read: the column of the latency table. */
#define OPERAND_ROLES(X)                                                                                               \
    X(LATE, late)                                                                                                      \
    X(EARLY, early)                                                                                                    \
    X(PARTNER, partner)                                                                                                \
    X(IN_EARLY_ALU, in_early_alu)                                                                                      \
    X(ADDRESS, address)                                                                                                \
    X(INDEX, index)                                                                                                    \
    X(MULTIPLICAND, multiplicand)                                                                                      \
    X(ACCUMULATOR, accumulator)                                                                                        \
    X(STORE, store)                                                                                                    \
    X(CONDITION, condition)                                                                                            \
    X(TO_FPU, to_fpu)                                                                                                  \
    X(FP_OPERAND, fp_operand)                                                                                          \
    X(FP_ACCUMULATOR, fp_accumulator)                                                                                  \
    X(FP_CHAINED_ACCUMULATOR, fp_chained_accumulator)                                                                  \
    X(FP_STORE, fp_store)                                                                                              \
    X(FP_MOVE, fp_move)                                                                                                \
    X(FP_COPY, fp_copy)

#define ENUMERATE_KIND(upper, lower) KIND_##upper,
#define ENUMERATE_ROLE(upper, lower) ROLE_##upper,
enum result_kind { RESULT_KINDS(ENUMERATE_KIND) KIND_COUNT };
enum operand_role { OPERAND_ROLES(ENUMERATE_ROLE) ROLE_COUNT };

/* Register numbers: r0..r15, flags, s0..s31 (a double is two of them), the FPSCR flags. */
enum { REGISTER_SP = 13, REGISTER_LR = 14, REGISTER_PC = 15, REGISTER_FLAGS = 16, REGISTER_S0 = 17 };
enum { REGISTER_FPSCR = REGISTER_S0 + 32, REGISTER_COUNT };

enum trait {
    TRAIT_SINGLE = 1 << 0,      /* issues alone */
    TRAIT_OLDER_ONLY = 1 << 1,  /* cannot be the younger of a pair */
    TRAIT_SHIFTED = 1 << 2,     /* shifted second operand or shifted constant */
    TRAIT_EXTRACT = 1 << 3,     /* bit field, reverse, extend-and-add, pack: uses the early shifter */
    TRAIT_PLAIN_SHIFT = 1 << 4, /* a shift or rotation by itself */
    TRAIT_EARLY = 1 << 5,       /* add, subtract, move: may run in the early ALU of the older slot */
    TRAIT_MULTIPLY = 1 << 6,
    TRAIT_LOAD = 1 << 7,
    TRAIT_STORE = 1 << 8,
    TRAIT_BRANCH = 1 << 9,
    TRAIT_FP_ARITHMETIC = 1 << 10,
    TRAIT_FP_FUSED = 1 << 11,    /* multiply-accumulate of the FPU */
    TRAIT_FP_TRANSFER = 1 << 12, /* VLDR, VSTR, VMOV of one single */
    TRAIT_FP_HELD = 1 << 13,     /* waits until a multiply-accumulate has left the FPU's first stages */
    TRAIT_CONDITIONAL = 1 << 14, /* inside an IT block */
    TRAIT_FP_IMMEDIATE = 1 << 15,
    TRAIT_DIVIDE = 1 << 16,
    TRAIT_BARRIER = 1 << 17, /* flushes the pipeline */
    TRAIT_UNKNOWN = 1 << 18,
    TRAIT_MULTIPLE = 1 << 19, /* moves several registers */
};

enum branch_kind { BRANCH_NONE, BRANCH_CONDITIONAL, BRANCH_DIRECT, BRANCH_INDIRECT };

struct registers {
    uint64_t mask;
    uint8_t how; /* an operand_role of what is read, a result_kind of what is written */
};

enum { READS_MAX = 6, WRITES_MAX = 4, NO_REGISTER = 0xff };

/* The address of an instruction's first access: a register, another one shifted left, and a constant. */
struct addressing {
    uint8_t base, index, shift; /* NO_REGISTER: none */
    uint32_t offset;
};

struct instruction {
    uint32_t address;
    uint32_t traits;
    uint8_t size; /* bytes: 2 or 4 */
    uint8_t issue_cycles;
    uint8_t read_count, write_count;
    uint8_t access_count; /* accesses to memory */
    uint8_t access_bytes;
    uint8_t branch;    /* enum branch_kind */
    bool is_call;      /* of a branch: it leaves its return address in LR */
    bool is_return;    /* of a branch: one of those by which procedures return */
    uint8_t condition; /* of an instruction inside an IT block */
    uint8_t it_state;  /* of IT: ITSTATE, condition and mask of the instructions that follow it */
    struct addressing addressing;
    uint32_t branch_target; /* of a direct branch */
    struct registers reads[READS_MAX];
    struct registers writes[WRITES_MAX];
};

/* The issue cycles of long instructions, which are data and not part of the decoder. */
struct long_instructions {
    uint8_t divide, table_branch, system, fp_divide, fp_square_root;
    uint8_t double_add, double_multiply, double_fused, double_divide;
    uint8_t fp_fused, fp_move_pair;
    uint8_t multiple_start, multiple_words; /* before the first of several registers; registers a cycle */
};

/* Decodes the instruction at `code` (at least `available` bytes, 2 or more); `it_state` is 0 outside of an IT block. */
void instruction_decode(struct instruction *instruction, uint32_t address, const uint8_t *code, size_t available,
                        uint8_t it_state, const struct long_instructions *cycles);

void instruction_decode_wide(struct instruction *instruction, uint32_t first, uint32_t second,
                             const struct long_instructions *cycles);
void instruction_decode_fp(struct instruction *instruction, uint32_t first, uint32_t second,
                           const struct long_instructions *cycles);

static inline uint64_t one(unsigned number) {
    return UINT64_C(1) << number;
}

static inline void reads(struct instruction *instruction, enum operand_role role, uint64_t mask) {
    mask &= ~one(REGISTER_PC);
    if (mask && instruction->read_count < READS_MAX)
        instruction->reads[instruction->read_count++] = (struct registers){mask, (uint8_t)role};
}

static inline void writes(struct instruction *instruction, enum result_kind kind, uint64_t mask) {
    mask &= ~one(REGISTER_PC);
    if (mask && instruction->write_count < WRITES_MAX)
        instruction->writes[instruction->write_count++] = (struct registers){mask, (uint8_t)kind};
}

/* ITSTATE after one instruction (Armv7-M Architecture Reference Manual, ITAdvance). */
static inline uint8_t it_advance(uint8_t state) {
    return state & 7 ? (uint8_t)((state & 0xe0) | (state << 1 & 0x1f)) : 0;
}

/* The address is that of a register plus a constant; one relative to the program counter is known at once. */
static inline void at(struct instruction *instruction, unsigned base, uint32_t offset) {
    if (base == REGISTER_PC)
        instruction->addressing =
            (struct addressing){NO_REGISTER, NO_REGISTER, 0, ((instruction->address + 4) & ~3u) + offset};
    else
        instruction->addressing = (struct addressing){(uint8_t)base, NO_REGISTER, 0, offset};
}

/* The same with a register as offset. */
static inline void at_index(struct instruction *instruction, unsigned base, unsigned index, unsigned shift) {
    at(instruction, base,
       base == REGISTER_PC ? instruction->address & 2 : 0); /* TBB counts from the unaligned address */
    instruction->addressing.index = (uint8_t)index;
    instruction->addressing.shift = (uint8_t)shift;
    reads(instruction, ROLE_INDEX, one(index));
}

static inline void sets_flags(struct instruction *instruction) {
    writes(instruction, KIND_FLAGS, one(REGISTER_FLAGS));
}

static inline void accesses(struct instruction *instruction, enum trait direction, unsigned count, unsigned bytes) {
    instruction->traits |= (uint32_t)direction;
    instruction->access_count = (uint8_t)count;
    instruction->access_bytes = (uint8_t)bytes;
}

static inline void branches(struct instruction *instruction, enum branch_kind kind, uint32_t target) {
    instruction->traits |= TRAIT_BRANCH;
    instruction->branch = (uint8_t)kind;
    instruction->branch_target = target;
}

static inline void calls(struct instruction *instruction, enum branch_kind kind, uint32_t target) {
    writes(instruction, KIND_LATE_ALU, one(REGISTER_LR));
    branches(instruction, kind, target);
    instruction->is_call = true;
}

static inline void returns(struct instruction *instruction) {
    branches(instruction, BRANCH_INDIRECT, 0);
    instruction->is_return = true;
}

/* A move of several registers: alone. */
static inline void multiple(struct instruction *instruction, enum trait direction, unsigned count) {
    accesses(instruction, direction, count, 4);
    instruction->traits |= TRAIT_SINGLE | TRAIT_MULTIPLE;
}

static inline enum result_kind load_kind(unsigned bytes) {
    return bytes == 4 ? KIND_LOAD_WORD : KIND_LOAD_NARROW;
}

#endif

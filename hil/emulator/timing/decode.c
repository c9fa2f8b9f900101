/* Decoding of 16-bit Thumb instructions (Armv7-M Architecture Reference Manual, A5.2). */
#include "instruction.h"

#include <string.h>

static uint32_t sign_extend(uint32_t value, unsigned bits) {
    uint32_t sign = UINT32_C(1) << (bits - 1);
    return (value ^ sign) - sign;
}

static void alu(struct instruction *i, uint64_t operands, uint64_t result, bool early) {
    if (early)
        i->traits |= TRAIT_EARLY;
    reads(i, ROLE_LATE, operands);
    writes(i, KIND_LATE_ALU, result);
}

static void decode_shift_add_compare(struct instruction *i, uint32_t code, bool flags) {
    unsigned low = code & 7, middle = (code >> 3) & 7, high = (code >> 8) & 7, third = (code >> 6) & 7;
    switch (code >> 11) {
    case 0: /* LSL (MOV when it shifts by nothing), LSR, ASR by an immediate */
    case 1:
    case 2:
        i->traits |= (code >> 6) == 0 ? TRAIT_EARLY : TRAIT_PLAIN_SHIFT;
        alu(i, one(middle), one(low), false);
        break;
    case 3: /* ADD, SUB of a register or a 3-bit constant */
        alu(i, one(middle) | (code & 0x400 ? 0 : one(third)), one(low), true);
        break;
    case 4: /* MOV */
        alu(i, 0, one(high), true);
        break;
    case 5: /* CMP */
        alu(i, one(high), 0, false);
        flags = true;
        break;
    default: /* ADD, SUB */
        alu(i, one(high), one(high), true);
    }
    if (flags)
        sets_flags(i);
}

static void decode_data_processing(struct instruction *i, uint32_t code, bool flags) {
    unsigned low = code & 7, middle = (code >> 3) & 7, operation = (code >> 6) & 15;
    switch (operation) {
    case 2: /* LSL, LSR, ASR, ROR by a register */
    case 3:
    case 4:
    case 7:
        i->traits |= TRAIT_PLAIN_SHIFT;
        alu(i, one(low) | one(middle), one(low), false);
        break;
    case 5: /* ADC, SBC */
    case 6:
        alu(i, one(low) | one(middle), one(low), false);
        reads(i, ROLE_CONDITION, one(REGISTER_FLAGS));
        break;
    case 8: /* TST, CMP, CMN */
    case 10:
    case 11:
        alu(i, one(low) | one(middle), 0, false);
        flags = true;
        break;
    case 9: /* RSB, MVN */
    case 15:
        alu(i, one(middle), one(low), false);
        break;
    case 13: /* MUL */
        i->traits |= TRAIT_MULTIPLY;
        reads(i, ROLE_MULTIPLICAND, one(low) | one(middle));
        writes(i, KIND_MULTIPLY, one(low));
        break;
    default: /* AND, EOR, ORR, BIC */
        alu(i, one(low) | one(middle), one(low), false);
    }
    if (flags)
        sets_flags(i);
}

static void decode_high_registers(struct instruction *i, uint32_t code) {
    unsigned destination = (code & 7) | ((code >> 4) & 8), source = (code >> 3) & 15;
    switch ((code >> 8) & 3) {
    case 0: /* ADD */
        alu(i, one(destination) | one(source), one(destination), true);
        break;
    case 1: /* CMP */
        alu(i, one(destination) | one(source), 0, false);
        sets_flags(i);
        return;
    case 2: /* MOV */
        alu(i, one(source), one(destination), true);
        break;
    default: /* BX, BLX */
        reads(i, ROLE_ADDRESS, one(source));
        if (code & 0x80)
            calls(i, BRANCH_INDIRECT, 0);
        else if (source == REGISTER_LR)
            returns(i);
        else
            branches(i, BRANCH_INDIRECT, 0);
        return;
    }
    if (destination == REGISTER_PC)
        branches(i, BRANCH_INDIRECT, 0);
}

static void load(struct instruction *i, uint64_t address, unsigned destination, unsigned bytes) {
    accesses(i, TRAIT_LOAD, 1, bytes);
    reads(i, ROLE_ADDRESS, address);
    writes(i, load_kind(bytes), one(destination));
}

static void store(struct instruction *i, uint64_t address, unsigned source, unsigned bytes) {
    accesses(i, TRAIT_STORE, 1, bytes);
    reads(i, ROLE_ADDRESS, address);
    reads(i, ROLE_STORE, one(source));
}

static void decode_load_store(struct instruction *i, uint32_t code) {
    unsigned low = code & 7, middle = (code >> 3) & 7, high = (code >> 8) & 7, offset = (code >> 6) & 7;
    static const uint8_t register_bytes[8] = {4, 2, 1, 1, 4, 2, 1, 2};
    switch (code >> 12) {
    case 4: /* LDR from a literal */
        load(i, 0, high, 4);
        at(i, REGISTER_PC, (code & 0xff) * 4);
        break;
    case 5: {
        unsigned operation = (code >> 9) & 7, bytes = register_bytes[operation];
        operation < 3 ? store(i, one(middle), low, bytes) : load(i, one(middle), low, bytes);
        at_index(i, middle, offset, 0);
        break;
    }
    case 9: /* relative to SP */
        code & 0x800 ? load(i, one(REGISTER_SP), high, 4) : store(i, one(REGISTER_SP), high, 4);
        at(i, REGISTER_SP, (code & 0xff) * 4);
        break;
    default: {
        unsigned bytes = (code >> 12) == 6 ? 4 : (code >> 12) == 7 ? 1 : 2;
        code & 0x800 ? load(i, one(middle), low, bytes) : store(i, one(middle), low, bytes);
        at(i, middle, (code >> 6 & 31) * bytes);
    }
    }
}

static void push(struct instruction *i, uint64_t list) {
    multiple(i, TRAIT_STORE, (unsigned)__builtin_popcountll(list));
    at(i, REGISTER_SP, 0 - 4u * i->access_count);
    reads(i, ROLE_ADDRESS, one(REGISTER_SP));
    reads(i, ROLE_STORE, list);
    writes(i, KIND_ADDRESS_UPDATE, one(REGISTER_SP));
}

static void pop(struct instruction *i, uint64_t list) {
    multiple(i, TRAIT_LOAD, (unsigned)__builtin_popcountll(list));
    at(i, REGISTER_SP, 0);
    reads(i, ROLE_ADDRESS, one(REGISTER_SP));
    writes(i, KIND_LOAD_WORD, list);
    writes(i, KIND_ADDRESS_UPDATE, one(REGISTER_SP));
    if (list & one(REGISTER_PC))
        returns(i);
}

static void decode_miscellaneous(struct instruction *i, uint32_t code) {
    unsigned low = code & 7, middle = (code >> 3) & 7;
    if ((code & 0xff00) == 0xb000) { /* ADD, SUB of SP */
        alu(i, one(REGISTER_SP), one(REGISTER_SP), true);
    } else if ((code & 0xf500) == 0xb100) { /* CBZ, CBNZ */
        uint32_t offset = ((code >> 3) & 0x40) | ((code >> 2) & 0x3e);
        reads(i, ROLE_CONDITION, one(low));
        branches(i, BRANCH_CONDITIONAL, i->address + 4 + offset);
    } else if ((code & 0xff00) == 0xb200) { /* SXTH, SXTB, UXTH, UXTB */
        i->traits |= TRAIT_OLDER_ONLY;
        reads(i, ROLE_LATE, one(middle));
        writes(i, KIND_DSP, one(low));
    } else if ((code & 0xfe00) == 0xb400) {
        push(i, (code & 0xff) | (code & 0x100 ? one(REGISTER_LR) : 0));
    } else if ((code & 0xfe00) == 0xbc00) {
        pop(i, (code & 0xff) | (code & 0x100 ? one(REGISTER_PC) : 0));
    } else if ((code & 0xff00) == 0xba00 && (code & 0xc0) != 0x80) { /* REV, REV16, REVSH */
        i->traits |= TRAIT_OLDER_ONLY | TRAIT_EXTRACT;
        reads(i, ROLE_EARLY, one(middle));
        writes(i, KIND_REVERSE, one(low));
    } else if ((code & 0xff00) == 0xbf00) {
        i->it_state = code & 15 ? (uint8_t)code : 0;                     /* IT, or a hint */
    } else if ((code & 0xff00) == 0xbe00 || (code & 0xffe8) == 0xb660) { /* BKPT, CPS */
        i->traits |= TRAIT_SINGLE;
    } else {
        i->traits |= TRAIT_UNKNOWN;
    }
}

static void decode_multiple_and_branch(struct instruction *i, uint32_t code) {
    unsigned base = (code >> 8) & 7;
    uint64_t list = code & 0xff;
    switch (code >> 11) {
    case 0x18: /* STM */
    case 0x19: /* LDM */
        multiple(i, code & 0x800 ? TRAIT_LOAD : TRAIT_STORE, (unsigned)__builtin_popcountll(list));
        at(i, base, 0);
        reads(i, ROLE_ADDRESS, one(base));
        code & 0x800 ? writes(i, KIND_LOAD_WORD, list) : reads(i, ROLE_STORE, list);
        if (!(code & 0x800) || !(list & one(base)))
            writes(i, KIND_ADDRESS_UPDATE, one(base));
        break;
    case 0x1a:
    case 0x1b:
        if (base == 6 && (code & 0x800)) /* UDF */
            i->traits |= TRAIT_UNKNOWN;
        else if (base == 7 && (code & 0x800)) /* SVC */
            i->traits |= TRAIT_SINGLE;
        else
            branches(i, BRANCH_CONDITIONAL, i->address + 4 + (sign_extend(code & 0xff, 8) << 1));
        break;
    default:
        branches(i, BRANCH_DIRECT, i->address + 4 + (sign_extend(code & 0x7ff, 11) << 1));
    }
}

static void decode_narrow(struct instruction *i, uint32_t code, bool flags) {
    if (code < 0x4000)
        decode_shift_add_compare(i, code, flags);
    else if (code < 0x4400)
        decode_data_processing(i, code, flags);
    else if (code < 0x4800)
        decode_high_registers(i, code);
    else if (code < 0xa000)
        decode_load_store(i, code);
    else if (code < 0xb000) /* ADR, ADD to SP */
        alu(i, code & 0x800 ? one(REGISTER_SP) : 0, one((code >> 8) & 7), true);
    else if (code < 0xc000)
        decode_miscellaneous(i, code);
    else
        decode_multiple_and_branch(i, code);
}

/* What fails its condition keeps the old value of its result, so it reads the flags and that value. */
static void make_conditional(struct instruction *i, uint8_t it_state) {
    uint64_t kept = 0;
    i->condition = it_state >> 4;
    i->traits |= TRAIT_CONDITIONAL;
    if (i->branch == BRANCH_DIRECT)
        i->branch = BRANCH_CONDITIONAL;
    reads(i, ROLE_CONDITION, one(REGISTER_FLAGS));
    for (unsigned n = 0; n < i->write_count; n++)
        if (i->writes[n].how == KIND_LATE_ALU || i->writes[n].how == KIND_DSP)
            kept |= i->writes[n].mask;
    reads(i, ROLE_LATE, kept);
}

static uint8_t multiple_cycles(unsigned count, const struct long_instructions *cycles) {
    unsigned words = cycles->multiple_words;
    return (uint8_t)(cycles->multiple_start + (count > 1 ? (count + words - 1) / words : 1));
}

void instruction_decode(struct instruction *instruction, uint32_t address, const uint8_t *code, size_t available,
                        uint8_t it_state, const struct long_instructions *cycles) {
    uint32_t first = (uint32_t)(code[0] | code[1] << 8);
    memset(instruction, 0, sizeof *instruction);
    instruction->address = address;
    instruction->issue_cycles = 1;
    if (first < 0xe800) {
        instruction->size = 2;
        decode_narrow(instruction, first, !it_state);
    } else {
        instruction->size = 4;
        if (available < 4)
            instruction->traits |= TRAIT_UNKNOWN;
        else
            instruction_decode_wide(instruction, first, (uint32_t)(code[2] | code[3] << 8), cycles);
    }
    if (instruction->traits & TRAIT_MULTIPLE)
        instruction->issue_cycles = multiple_cycles(instruction->access_count, cycles);
    if (it_state)
        make_conditional(instruction, it_state);
}

/* Decoding of 32-bit Thumb instructions of the core (Armv7-M Architecture Reference Manual, A5.3). */
#include "instruction.h"

static void unknown(struct instruction *i) {
    i->traits |= TRAIT_UNKNOWN;
}

static void decode_multiple(struct instruction *i, uint32_t first, uint32_t second) {
    unsigned base = first & 15;
    bool is_load = first & 0x10;
    uint64_t list = second & 0xdfff;
    multiple(i, is_load ? TRAIT_LOAD : TRAIT_STORE, (unsigned)__builtin_popcountll(list));
    at(i, base, first & 0x100 ? 0 - 4u * i->access_count : 0);
    reads(i, ROLE_ADDRESS, one(base));
    is_load ? writes(i, KIND_LOAD_WORD, list) : reads(i, ROLE_STORE, list);
    if (first & 0x20)
        writes(i, KIND_ADDRESS_UPDATE, one(base));
    if (is_load && (list & one(REGISTER_PC)))
        returns(i);
}

/* LDRD, STRD, the exclusive accesses, TBB and TBH. */
static void decode_double_and_exclusive(struct instruction *i, uint32_t first, uint32_t second,
                                        const struct long_instructions *cycles) {
    unsigned base = first & 15, low = second >> 12, high = (second >> 8) & 15;
    bool is_load = first & 0x10;
    uint32_t offset = (second & 0xff) * 4;
    at(i, base, 0);
    reads(i, ROLE_ADDRESS, one(base));
    if (first & 0x0120) { /* indexed or with write-back: LDRD, STRD */
        multiple(i, is_load ? TRAIT_LOAD : TRAIT_STORE, 2);
        if (first & 0x100)
            at(i, base, first & 0x80 ? offset : 0 - offset);
        is_load ? writes(i, KIND_LOAD_WORD, one(low) | one(high)) : reads(i, ROLE_STORE, one(low) | one(high));
        if (first & 0x20)
            writes(i, KIND_ADDRESS_UPDATE, one(base));
    } else if (!(first & 0x80)) { /* LDREX, STREX */
        accesses(i, is_load ? TRAIT_LOAD : TRAIT_STORE, 1, 4);
        at(i, base, offset);
        i->traits |= TRAIT_SINGLE;
        is_load ? writes(i, KIND_LOAD_WORD, one(low)) : writes(i, KIND_LATE_ALU, one(high));
        if (!is_load)
            reads(i, ROLE_STORE, one(low));
    } else if (is_load && (second & 0xe0) == 0) { /* TBB, TBH */
        accesses(i, TRAIT_LOAD, 1, second & 0x10 ? 2 : 1);
        i->traits |= TRAIT_SINGLE;
        i->issue_cycles = cycles->table_branch;
        at_index(i, base, second & 15, second >> 4 & 1);
        branches(i, BRANCH_INDIRECT, 0);
    } else { /* LDREXB, LDREXH, STREXB, STREXH */
        unsigned bytes = second & 0x10 ? 2 : 1;
        accesses(i, is_load ? TRAIT_LOAD : TRAIT_STORE, 1, bytes);
        i->traits |= TRAIT_SINGLE;
        is_load ? writes(i, KIND_LOAD_NARROW, one(low)) : writes(i, KIND_LATE_ALU, one(second & 15));
        if (!is_load)
            reads(i, ROLE_STORE, one(low));
    }
}

/* The sixteen data-processing operations, whatever their second operand: `role_of_first` is how Rn is read. */
static void data_processing(struct instruction *i, uint32_t first, uint32_t second, enum operand_role role_of_first) {
    unsigned operation = (first >> 5) & 15, source = first & 15, destination = (second >> 8) & 15;
    bool flags = first & 0x10, compares = flags && destination == 15;
    bool moves = source == 15 && (operation == 2 || operation == 3); /* MOV, MVN */
    if (!moves)
        reads(i, role_of_first, one(source));
    if (operation == 10 || operation == 11) /* ADC, SBC */
        reads(i, ROLE_CONDITION, one(REGISTER_FLAGS));
    if (!compares)
        writes(i, KIND_LATE_ALU, one(destination));
    if (flags)
        sets_flags(i);
    if (operation == 5 || operation == 6 || operation == 7 || operation == 9 || operation == 12 || operation == 15)
        unknown(i);
}

static bool may_run_early(uint32_t first, uint32_t second) {
    unsigned operation = (first >> 5) & 15;
    bool compares = (first & 0x10) && ((second >> 8) & 15) == 15;
    return !compares && (operation == 8 || operation == 13 || (operation == 2 && (first & 15) == 15));
}

static void decode_shifted_register(struct instruction *i, uint32_t first, uint32_t second) {
    unsigned operation = (first >> 5) & 15, amount = ((second >> 10) & 0x1c) | ((second >> 6) & 3);
    unsigned type = (second >> 4) & 3, operand = second & 15;
    bool is_move = operation == 2 && (first & 15) == 15, is_shifted = amount || type;
    if (operation == 6) { /* PKHBT, PKHTB */
        i->traits |= TRAIT_OLDER_ONLY | TRAIT_EXTRACT;
        reads(i, second & 0x20 ? ROLE_EARLY : ROLE_PARTNER, one(first & 15));
        reads(i, ROLE_EARLY, one(operand));
        writes(i, KIND_DSP, one((second >> 8) & 15));
        return;
    }
    if (!is_shifted) {
        i->traits |= may_run_early(first, second) ? TRAIT_EARLY : 0;
        data_processing(i, first, second, ROLE_LATE);
        reads(i, ROLE_LATE, one(operand));
    } else if (is_move && !(type == 3 && amount == 0)) { /* LSL, LSR, ASR, ROR */
        i->traits |= TRAIT_PLAIN_SHIFT;
        data_processing(i, first, second, ROLE_LATE);
        reads(i, ROLE_LATE, one(operand));
    } else {
        i->traits |= TRAIT_SHIFTED;
        data_processing(i, first, second, ROLE_PARTNER);
        reads(i, ROLE_EARLY, one(operand));
        if (type == 3 && amount == 0) /* RRX */
            reads(i, ROLE_CONDITION, one(REGISTER_FLAGS));
    }
}

static void decode_modified_immediate(struct instruction *i, uint32_t first, uint32_t second) {
    bool is_shifted = (first & 0x400) || (second & 0x4000); /* an 8-bit constant rotated right by 8 or more */
    if (is_shifted)
        i->traits |= TRAIT_SHIFTED;
    else if (may_run_early(first, second))
        i->traits |= TRAIT_EARLY;
    data_processing(i, first, second, ROLE_LATE);
}

static void decode_plain_immediate(struct instruction *i, uint32_t first, uint32_t second) {
    unsigned source = first & 15, destination = (second >> 8) & 15;
    switch ((first >> 4) & 31) {
    case 0: /* ADDW, ADR, SUBW */
    case 10:
        i->traits |= TRAIT_EARLY;
        reads(i, ROLE_LATE, one(source));
        writes(i, KIND_LATE_ALU, one(destination));
        break;
    case 4: /* MOVW */
        i->traits |= TRAIT_EARLY;
        writes(i, KIND_LATE_ALU, one(destination));
        break;
    case 12: /* MOVT */
        reads(i, ROLE_LATE, one(destination));
        writes(i, KIND_LATE_ALU, one(destination));
        break;
    case 16: /* SSAT, SSAT16, USAT, USAT16 */
    case 18:
    case 24:
    case 26:
        i->traits |= TRAIT_OLDER_ONLY;
        reads(i, ROLE_EARLY, one(source));
        writes(i, KIND_SATURATE, one(destination));
        break;
    case 20: /* SBFX, UBFX */
    case 28:
        i->traits |= TRAIT_OLDER_ONLY | TRAIT_EXTRACT;
        reads(i, ROLE_EARLY, one(source));
        writes(i, KIND_DSP, one(destination));
        break;
    case 22: /* BFI, BFC */
        i->traits |= TRAIT_OLDER_ONLY | TRAIT_EXTRACT;
        reads(i, ROLE_EARLY, one(source));
        reads(i, ROLE_PARTNER, one(destination));
        writes(i, KIND_DSP, one(destination));
        break;
    default:
        unknown(i);
    }
}

static void decode_branch_and_system(struct instruction *i, uint32_t first, uint32_t second,
                                     const struct long_instructions *cycles) {
    uint32_t sign = (first >> 10) & 1, j1 = (second >> 13) & 1, j2 = (second >> 11) & 1;
    if (second & 0x1000) { /* B, BL */
        uint32_t offset = (sign ? 0xff000000u : 0) | (j1 ^ sign ^ 1) << 23 | (j2 ^ sign ^ 1) << 22 |
                          (first & 0x3ff) << 12 | (second & 0x7ff) << 1;
        if (second & 0x4000)
            calls(i, BRANCH_DIRECT, i->address + 4 + offset);
        else
            branches(i, BRANCH_DIRECT, i->address + 4 + offset);
    } else if ((first & 0x380) != 0x380) { /* B with a condition */
        uint32_t offset = (sign ? 0xfff00000u : 0) | j2 << 19 | j1 << 18 | (first & 0x3f) << 12 | (second & 0x7ff) << 1;
        branches(i, BRANCH_CONDITIONAL, i->address + 4 + offset);
    } else if ((first & 0xfff0) == 0xf3a0) { /* NOP.W and other hints, which take a slot and nothing else; CPS */
        i->traits |= second & 0x700 ? TRAIT_SINGLE : 0;
    } else if ((first & 0xfff0) == 0xf3b0) { /* CLREX, DSB, DMB, ISB */
        i->traits |= TRAIT_SINGLE | (((second >> 4) & 15) == 6 ? TRAIT_BARRIER : 0);
        i->issue_cycles = cycles->system;
    } else if ((first & 0xffe0) == 0xf380 || (first & 0xffe0) == 0xf3e0) { /* MSR, MRS */
        i->traits |= TRAIT_SINGLE;
        i->issue_cycles = cycles->system;
        if ((first & 0xffe0) == 0xf3e0) {
            writes(i, KIND_LATE_ALU, one((second >> 8) & 15));
        } else {
            reads(i, ROLE_LATE, one(first & 15));
            sets_flags(i);
        }
    } else {
        unknown(i);
    }
}

static void decode_single_transfer(struct instruction *i, uint32_t first, uint32_t second) {
    unsigned base = first & 15, target = second >> 12, bytes = 1u << ((first >> 5) & 3);
    bool is_load = first & 0x10, by_offset = first & 0x80, is_hint = is_load && target == 15 && bytes != 4;
    if (bytes == 8 || (!is_load && base == 15)) {
        unknown(i);
        return;
    }
    if (is_hint) { /* PLD, PLI: needs its address, brings nothing that anyone waits for */
        reads(i, ROLE_ADDRESS, one(base));
        return;
    }
    if (base == 15 || by_offset)
        at(i, base, by_offset ? second & 0xfff : 0 - (second & 0xfff));
    else if (second & 0x800) /* an 8-bit offset, applied now or afterwards */
        at(i, base, !(second & 0x400) ? 0 : second & 0x200 ? second & 0xff : 0 - (second & 0xff));
    else
        at_index(i, base, second & 15, second >> 4 & 3);
    reads(i, ROLE_ADDRESS, one(base));
    accesses(i, is_load ? TRAIT_LOAD : TRAIT_STORE, 1, bytes);
    is_load ? writes(i, load_kind(bytes), one(target)) : reads(i, ROLE_STORE, one(target));
    if (base != 15 && !by_offset && (second & 0x900) == 0x900)
        writes(i, KIND_ADDRESS_UPDATE, one(base));
    bool pops = base == REGISTER_SP && second == 0xfb04; /* LDR PC, [SP], #4 */
    if (is_load && target == 15)
        pops ? returns(i) : branches(i, BRANCH_INDIRECT, 0);
}

/* Shifts by a register, extension with and without addition, parallel arithmetic, saturation, REV, RBIT, SEL, CLZ. */
static void decode_register_operations(struct instruction *i, uint32_t first, uint32_t second) {
    unsigned source = first & 15, destination = (second >> 8) & 15, operand = second & 15;
    unsigned operation = (first >> 4) & 15, minor = (second >> 4) & 15;
    if ((second & 0xf000) != 0xf000) {
        unknown(i);
    } else if (operation < 8 && minor == 0) { /* LSL, LSR, ASR, ROR by a register */
        i->traits |= TRAIT_PLAIN_SHIFT;
        reads(i, ROLE_LATE, one(source) | one(operand));
        writes(i, KIND_LATE_ALU, one(destination));
        if (operation & 1)
            sets_flags(i);
    } else if (operation < 6 && minor >= 8) { /* SXTH, SXTAH, UXTB16, SXTAB16 ... */
        bool adds = source != 15;
        i->traits |= TRAIT_OLDER_ONLY | (adds ? TRAIT_EXTRACT : 0);
        reads(i, ROLE_PARTNER, one(source));
        reads(i, adds ? ROLE_EARLY : ROLE_LATE, one(operand));
        writes(i, KIND_DSP, one(destination));
    } else if (operation >= 8 && minor < 8) { /* parallel addition and subtraction: plain, saturating, halving */
        i->traits |= TRAIT_OLDER_ONLY;
        reads(i, ROLE_LATE, one(source) | one(operand));
        writes(i, (minor & 3) == 1 ? KIND_SATURATE : KIND_DSP, one(destination));
        if ((minor & 3) == 3)
            unknown(i);
    } else if (operation == 8 && minor < 12) { /* QADD, QDADD, QSUB, QDSUB */
        i->traits |= TRAIT_OLDER_ONLY;
        reads(i, ROLE_LATE, one(operand));
        reads(i, minor & 1 ? ROLE_EARLY : ROLE_LATE, one(source));
        writes(i, KIND_SATURATE, one(destination));
    } else if (operation == 9 && minor < 12) { /* REV, REV16, RBIT, REVSH */
        i->traits |= TRAIT_OLDER_ONLY | TRAIT_EXTRACT;
        reads(i, ROLE_EARLY, one(operand));
        writes(i, KIND_REVERSE, one(destination));
    } else if (operation == 10 && minor == 8) { /* SEL */
        i->traits |= TRAIT_OLDER_ONLY;
        reads(i, ROLE_LATE, one(source) | one(operand));
        reads(i, ROLE_CONDITION, one(REGISTER_FLAGS));
        writes(i, KIND_DSP, one(destination));
    } else if (operation == 11 && minor == 8) { /* CLZ */
        i->traits |= TRAIT_OLDER_ONLY;
        reads(i, ROLE_LATE, one(operand));
        writes(i, KIND_DSP, one(destination));
    } else {
        unknown(i);
    }
}

/* MUL, MLA, MLS, SMLAxy, SMLAD, SMLAWy, SMLSD, SMMLA, SMMLS, USADA8. */
static void decode_multiply(struct instruction *i, uint32_t first, uint32_t second) {
    unsigned operation = (first >> 4) & 7, addend = second >> 12, destination = (second >> 8) & 15;
    if (operation == 7) { /* USAD8, USADA8 */
        i->traits |= TRAIT_OLDER_ONLY;
        reads(i, ROLE_LATE, one(first & 15) | one(second & 15));
        writes(i, KIND_SATURATE, one(destination));
    } else {
        i->traits |= TRAIT_MULTIPLY;
        reads(i, ROLE_MULTIPLICAND, one(first & 15) | one(second & 15));
        writes(i, KIND_MULTIPLY, one(destination));
    }
    reads(i, ROLE_ACCUMULATOR, one(addend));
}

/* SMULL, UMULL, SMLAL, SMLALxy, SMLALD, SMLSLD, UMLAL, UMAAL, SDIV, UDIV. */
static void decode_long_multiply(struct instruction *i, uint32_t first, uint32_t second,
                                 const struct long_instructions *cycles) {
    unsigned operation = (first >> 4) & 7, low = second >> 12, high = (second >> 8) & 15;
    if (operation == 1 || operation == 3) {
        i->traits |= TRAIT_SINGLE | TRAIT_DIVIDE;
        i->issue_cycles = cycles->divide;
        reads(i, ROLE_LATE, one(first & 15) | one(second & 15));
        writes(i, KIND_LATE_ALU, one(high));
        return;
    }
    i->traits |= TRAIT_MULTIPLY;
    reads(i, ROLE_MULTIPLICAND, one(first & 15) | one(second & 15));
    if (operation >= 4)
        reads(i, ROLE_ACCUMULATOR, one(low) | one(high));
    writes(i, KIND_MULTIPLY, one(low) | one(high));
}

void instruction_decode_wide(struct instruction *i, uint32_t first, uint32_t second,
                             const struct long_instructions *cycles) {
    if ((first & 0xec00) == 0xec00) {
        instruction_decode_fp(i, first, second, cycles);
    } else if ((first & 0xfe40) == 0xe800) {
        decode_multiple(i, first, second);
    } else if ((first & 0xfe40) == 0xe840) {
        decode_double_and_exclusive(i, first, second, cycles);
    } else if ((first & 0xfe00) == 0xea00) {
        decode_shifted_register(i, first, second);
    } else if ((first & 0xf800) == 0xf000) {
        if (second & 0x8000)
            decode_branch_and_system(i, first, second, cycles);
        else if (first & 0x200)
            decode_plain_immediate(i, first, second);
        else
            decode_modified_immediate(i, first, second);
    } else if ((first & 0xfe00) == 0xf800) {
        decode_single_transfer(i, first, second);
    } else if ((first & 0xff00) == 0xfa00) {
        decode_register_operations(i, first, second);
    } else if ((first & 0xff80) == 0xfb00) {
        decode_multiply(i, first, second);
    } else if ((first & 0xff80) == 0xfb80) {
        decode_long_multiply(i, first, second, cycles);
    } else {
        unknown(i);
    }
}

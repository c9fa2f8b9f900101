/* Decoding of the floating-point extension FPv5-D16 (Armv7-M Architecture Reference Manual, A6). */
#include "instruction.h"

/* The single (or the two halves of the double) that a four-bit field and its extension bit name. */
static uint64_t fp_register(unsigned field, unsigned extension, bool is_double) {
    if (is_double)
        return UINT64_C(3) << (REGISTER_S0 + 2 * (field & 15));
    return one(REGISTER_S0 + (field << 1 | extension));
}

static uint64_t destination_of(uint32_t first, uint32_t second, bool is_double) {
    return fp_register(second >> 12, (first >> 6) & 1, is_double);
}

static uint64_t first_of(uint32_t first, uint32_t second, bool is_double) {
    return fp_register(first & 15, (second >> 7) & 1, is_double);
}

static uint64_t second_of(uint32_t second, bool is_double) {
    return fp_register(second & 15, (second >> 5) & 1, is_double);
}

static void takes(struct instruction *i, unsigned cycles) {
    i->issue_cycles = (uint8_t)(cycles ? cycles : 1);
}

/* VMOV of two core registers from or to two singles or a double. */
static void decode_double_transfer(struct instruction *i, uint32_t first, uint32_t second,
                                   const struct long_instructions *cycles) {
    bool is_double = second & 0x100;
    uint64_t core = one(second >> 12) | one(first & 15), fp = second_of(second, is_double);
    if (!is_double)
        fp |= fp << 1;
    i->traits |= TRAIT_SINGLE;
    takes(i, cycles->fp_move_pair);
    if (first & 0x10) {
        reads(i, ROLE_FP_MOVE, fp);
        writes(i, KIND_FPU_TO_CORE, core);
    } else {
        reads(i, ROLE_TO_FPU, core);
        writes(i, KIND_CORE_TO_FPU, fp);
    }
}

static void decode_load_store(struct instruction *i, uint32_t first, uint32_t second) {
    bool is_load = first & 0x10, is_double = second & 0x100, is_single_transfer = (first & 0x120) == 0x100;
    uint64_t registers = destination_of(first, second, is_double);
    unsigned words = is_single_transfer ? (is_double ? 2 : 1) : second & 0xff;
    uint32_t offset = (second & 0xff) * 4;
    if (is_single_transfer)
        at(i, first & 15, first & 0x80 ? offset : 0 - offset);
    else
        at(i, first & 15, first & 0x100 ? 0 - offset : 0);
    reads(i, ROLE_ADDRESS, one(first & 15));
    if (is_single_transfer && !is_double) {
        accesses(i, is_load ? TRAIT_LOAD : TRAIT_STORE, 1, 4);
        i->traits |= TRAIT_FP_TRANSFER;
    } else {
        uint64_t lowest = registers & -registers;
        multiple(i, is_load ? TRAIT_LOAD : TRAIT_STORE, words);
        i->traits |= TRAIT_FP_HELD;
        registers = words < 32 ? lowest * (one(words) - 1) : lowest * UINT64_C(0xffffffff);
    }
    is_load ? writes(i, KIND_FP_LOAD, registers) : reads(i, ROLE_FP_STORE, registers);
    if (!is_single_transfer && (first & 0x20))
        writes(i, KIND_ADDRESS_UPDATE, one(first & 15));
}

static void decode_core_transfer(struct instruction *i, uint32_t first, uint32_t second) {
    bool to_core = first & 0x10;
    if ((first & 0xffe0) == 0xeee0) { /* VMRS, VMSR */
        i->traits |= TRAIT_SINGLE;
        if (!to_core) {
            reads(i, ROLE_TO_FPU, one(second >> 12));
        } else {
            reads(i, ROLE_FP_MOVE, one(REGISTER_FPSCR));
            (second >> 12) == 15 ? sets_flags(i) : writes(i, KIND_FPU_TO_CORE, one(second >> 12));
        }
        return;
    }
    uint64_t fp = second & 0x100 ? fp_register(first, 0, true) : first_of(first, second, false);
    i->traits |= TRAIT_FP_TRANSFER;
    if (to_core) {
        reads(i, ROLE_FP_MOVE, fp);
        writes(i, KIND_FPU_TO_CORE, one(second >> 12));
    } else {
        reads(i, ROLE_TO_FPU, one(second >> 12));
        writes(i, KIND_CORE_TO_FPU, fp);
    }
}

static void arithmetic(struct instruction *i, uint64_t result, uint64_t operands) {
    i->traits |= TRAIT_FP_ARITHMETIC;
    reads(i, ROLE_FP_OPERAND, operands);
    writes(i, KIND_FP_ARITHMETIC, result);
}

/* VMOV, VABS, VNEG, VSQRT, VCVT, VCMP, VRINT. */
static void decode_one_operand(struct instruction *i, uint32_t first, uint32_t second,
                               const struct long_instructions *cycles) {
    bool is_double = second & 0x100, top = second & 0x80;
    unsigned operation = first & 15;
    uint64_t result = destination_of(first, second, is_double), operand = second_of(second, is_double);
    if (!(second & 0x40)) { /* VMOV of a constant */
        i->traits |= TRAIT_FP_HELD | TRAIT_FP_IMMEDIATE;
        writes(i, KIND_CORE_TO_FPU, result);
    } else if (operation == 0 && !top) { /* VMOV of a register */
        i->traits |= TRAIT_FP_TRANSFER;
        reads(i, ROLE_FP_COPY, operand);
        writes(i, KIND_CORE_TO_FPU, result);
    } else if (operation == 1 && top) { /* VSQRT */
        arithmetic(i, result, operand);
        i->traits |= TRAIT_DIVIDE;
        takes(i, is_double ? cycles->double_divide : cycles->fp_square_root);
    } else if (operation == 4 || operation == 5) { /* VCMP with a register, with zero */
        i->traits |= TRAIT_FP_ARITHMETIC;
        reads(i, ROLE_FP_OPERAND, operation == 4 ? result | operand : result);
        writes(i, KIND_FP_COMPARE, one(REGISTER_FPSCR));
    } else if (operation == 8) { /* from an integer */
        arithmetic(i, result, second_of(second, false));
    } else if (operation == 12 || operation == 13) { /* to an integer */
        arithmetic(i, destination_of(first, second, false), operand);
    } else if (operation == 7 && top) { /* between single and double */
        arithmetic(i, destination_of(first, second, !is_double), operand);
    } else if (operation == 10 || operation == 11 || operation == 14 || operation == 15) { /* fixed point, in place */
        arithmetic(i, result, result);
    } else {
        arithmetic(i, result, operand);
    }
}

static void fused(struct instruction *i, enum result_kind kind, uint64_t accumulator, uint64_t operands) {
    i->traits |= TRAIT_FP_ARITHMETIC | TRAIT_FP_FUSED;
    reads(i, kind == KIND_FP_CHAINED ? ROLE_FP_CHAINED_ACCUMULATOR : ROLE_FP_ACCUMULATOR, accumulator);
    reads(i, ROLE_FP_OPERAND, operands);
    writes(i, kind, accumulator);
}

static void decode_arithmetic(struct instruction *i, uint32_t first, uint32_t second,
                              const struct long_instructions *cycles) {
    bool is_double = second & 0x100;
    uint64_t result = destination_of(first, second, is_double);
    uint64_t operands = first_of(first, second, is_double) | second_of(second, is_double);
    switch (((first >> 4) & 15) & 11) {
    case 0: /* VMLA, VMLS, VNMLA, VNMLS */
    case 1:
        fused(i, KIND_FP_CHAINED, result, operands);
        takes(i, is_double ? cycles->double_fused : cycles->fp_fused);
        break;
    case 2: /* VMUL, VNMUL */
        arithmetic(i, result, operands);
        takes(i, is_double ? cycles->double_multiply : 1);
        break;
    case 3: /* VADD, VSUB */
        arithmetic(i, result, operands);
        i->traits |= TRAIT_FP_HELD;
        takes(i, is_double ? cycles->double_add : 1);
        break;
    case 8: /* VDIV */
        arithmetic(i, result, operands);
        i->traits |= TRAIT_DIVIDE;
        takes(i, is_double ? cycles->double_divide : cycles->fp_divide);
        break;
    case 9: /* VFMA, VFMS, VFNMA, VFNMS */
    case 10:
        fused(i, KIND_FP_FUSED, result, operands);
        takes(i, is_double ? cycles->double_fused : cycles->fp_fused);
        break;
    default:
        decode_one_operand(i, first, second, cycles);
    }
    if (is_double)
        i->traits |= TRAIT_OLDER_ONLY;
}

/* VSEL, VMAXNM, VMINNM, VCVTA and its like, VRINTA and its like. */
static void decode_version_five(struct instruction *i, uint32_t first, uint32_t second) {
    bool is_double = second & 0x100, one_operand = (first & 0xb0) == 0xb0;
    bool to_integer = one_operand && (first & 12) == 12;
    uint64_t operands = second_of(second, is_double) | (one_operand ? 0 : first_of(first, second, is_double));
    arithmetic(i, destination_of(first, second, is_double && !to_integer), operands);
    if (!(first & 0x80)) { /* VSEL */
        i->traits |= TRAIT_OLDER_ONLY;
        reads(i, ROLE_CONDITION, one(REGISTER_FLAGS));
    }
}

void instruction_decode_fp(struct instruction *i, uint32_t first, uint32_t second,
                           const struct long_instructions *cycles) {
    if ((second & 0xe00) != 0xa00)
        i->traits |= TRAIT_UNKNOWN;
    else if ((first & 0xff00) == 0xfe00)
        decode_version_five(i, first, second);
    else if ((first & 0xffe0) == 0xec40)
        decode_double_transfer(i, first, second, cycles);
    else if ((first & 0xfe00) == 0xec00)
        decode_load_store(i, first, second);
    else if ((first & 0xff00) == 0xee00)
        second & 0x10 ? decode_core_transfer(i, first, second) : decode_arithmetic(i, first, second, cycles);
    else
        i->traits |= TRAIT_UNKNOWN;
}

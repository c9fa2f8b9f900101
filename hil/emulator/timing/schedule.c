#include "schedule.h"

#include <string.h>

enum { SETTLED = 40 }; /* cycles after which every result is settled, whatever the latencies */

/* The schedule under construction: cycles count from the block's start. */
struct board {
    const struct parameters *parameters;
    struct schedule *schedule;
    uint8_t kind[REGISTER_COUNT];
    uint8_t condition[REGISTER_COUNT];
    int32_t issued[REGISTER_COUNT]; /* cycle of the producer's issue */
    int32_t cycle;                  /* of the last issued instruction */
    int32_t fused;                  /* cycle of the last FPU multiply-accumulate */
    int32_t fpu_free;               /* cycle from which a division of the FPU lets its next instruction issue */
    int32_t bus_free[BUS_USERS];    /* cycle from which the transfers before let each issue */
    int32_t word_came;              /* cycle in which the last fetched word came */
    uint32_t word;                  /* its address, or 1 for none */
    uint32_t older;
    bool has_older;
};

static const uint8_t CAUSE_OF_KIND[KIND_COUNT] = {
    [KIND_EARLY_ALU] = CAUSE_OPERAND,
    [KIND_LATE_ALU] = CAUSE_OPERAND,
    [KIND_ADDRESS_UPDATE] = CAUSE_OPERAND,
    [KIND_REVERSE] = CAUSE_OPERAND,
    [KIND_DSP] = CAUSE_OPERAND,
    [KIND_SATURATE] = CAUSE_MULTIPLY,
    [KIND_MULTIPLY] = CAUSE_MULTIPLY,
    [KIND_LOAD_WORD] = CAUSE_LOAD_USE,
    [KIND_LOAD_NARROW] = CAUSE_LOAD_USE,
    [KIND_FLAGS] = CAUSE_OPERAND,
    [KIND_FPU_TO_CORE] = CAUSE_FLOATING_POINT,
    [KIND_CORE_TO_FPU] = CAUSE_FLOATING_POINT,
    [KIND_FP_LOAD] = CAUSE_LOAD_USE,
    [KIND_FP_ARITHMETIC] = CAUSE_FLOATING_POINT,
    [KIND_FP_FUSED] = CAUSE_FLOATING_POINT,
    [KIND_FP_CHAINED] = CAUSE_FLOATING_POINT,
    [KIND_FP_COMPARE] = CAUSE_FLOATING_POINT,
};

void pipeline_reset(struct pipeline *pipeline, const struct parameters *parameters) {
    memset(pipeline, 0, sizeof *pipeline);
    pipeline->fused_age = (uint8_t)parameters->fused_hold;
}

static void open_board(struct board *board, const struct pipeline *entry, uint32_t address, bool by_branch) {
    for (unsigned r = 0; r < REGISTER_COUNT; r++) {
        board->kind[r] = entry->kind[r];
        board->condition[r] = entry->condition[r];
        board->issued[r] = -(int32_t)entry->age[r];
    }
    board->cycle = 0;
    board->fused = -(int32_t)entry->fused_age;
    board->fpu_free = entry->fpu_busy;
    for (unsigned user = 0; user < BUS_USERS; user++)
        board->bus_free[user] = entry->bus_busy[user];
    bool fetches_ahead = !by_branch || board->parameters->branch_target_entries; /* across the branch */
    board->word_came = (fetches_ahead ? entry->fetch : 0) + (by_branch ? board->parameters->taken_branch_bubble : 0);
    board->word = by_branch || address % (uint32_t)board->parameters->fetch_bytes == 0
                      ? 1
                      : address - address % (uint32_t)board->parameters->fetch_bytes;
    board->older = entry->older;
    board->has_older = entry->has_older;
}

/* Cycles from the last instruction's issue to the one that is free; 0 if the next instruction need not wait for it. */
static uint8_t busy(const struct board *board, int32_t free) {
    return (uint8_t)(free > board->cycle + 1 ? free - board->cycle : 0);
}

static void close_board(const struct board *board, struct pipeline *exit) {
    memset(exit, 0, sizeof *exit);
    for (unsigned r = 0; r < REGISTER_COUNT; r++) {
        int32_t age = board->cycle - board->issued[r], longest = 0;
        if (!board->kind[r])
            continue;
        for (unsigned role = 0; role < ROLE_COUNT; role++)
            if (board->parameters->latency[board->kind[r] - 1][role] > longest)
                longest = board->parameters->latency[board->kind[r] - 1][role];
        longest += board->condition[r] ? board->parameters->other_condition : 0;
        /* The next instruction issues in the current cycle at the earliest; flags matter to a misprediction longer. */
        if (r == REGISTER_FLAGS && board->parameters->flags_known_after > longest)
            longest = board->parameters->flags_known_after;
        if (age < longest) {
            exit->kind[r] = board->kind[r];
            exit->condition[r] = board->condition[r];
            exit->age[r] = (int8_t)age;
        }
    }
    int32_t fused = board->cycle - board->fused, came = board->word_came - board->cycle;
    exit->fused_age = (uint8_t)(fused < board->parameters->fused_hold ? fused : board->parameters->fused_hold);
    exit->fetch = (int8_t)(came > -board->parameters->fetch_queue_words ? came : -board->parameters->fetch_queue_words);
    exit->fpu_busy = busy(board, board->fpu_free);
    for (unsigned user = 0; user < BUS_USERS; user++)
        exit->bus_busy[user] = busy(board, board->bus_free[user]);
    exit->has_older = board->has_older;
    exit->older = board->has_older ? board->older : 0;
}

/* The cycle from which the fetch queue can give the whole instruction; fetches what it has not. */
static int32_t fetched(struct board *board, const struct instruction *instruction) {
    uint32_t width = (uint32_t)board->parameters->fetch_bytes, last = instruction->address + instruction->size - 1;
    uint32_t first_word = instruction->address - instruction->address % width, last_word = last - last % width;
    for (uint32_t word = first_word; word <= last_word; word += width) {
        if (board->word != 1 && (int32_t)(word - board->word) <= 0)
            continue;
        int32_t earliest = board->cycle - board->parameters->fetch_queue_words; /* the queue was full until then */
        board->word_came = board->word_came + 1 > earliest ? board->word_came + 1 : earliest;
        board->word = word;
    }
    return board->word_came;
}

/* Equal for instructions in IT blocks of one condition or its opposite; 0 outside of one. */
static uint8_t condition_group(const struct instruction *instruction) {
    return instruction->traits & TRAIT_CONDITIONAL ? (uint8_t)(instruction->condition / 2 + 1) : 0;
}

/* The cycle from which the instruction can read the register, which is under way, in the given role. */
static int32_t available(const struct board *board, const struct instruction *instruction, unsigned r, unsigned role) {
    int32_t cycle = board->issued[r] + board->parameters->latency[board->kind[r] - 1][role];
    bool other = board->condition[r] && board->condition[r] != condition_group(instruction);
    return cycle + (other ? board->parameters->other_condition : 0);
}

/* The cycle from which all operands can be had, and the cause that sets it. */
static int32_t operands_ready(const struct board *board, const struct instruction *instruction, uint8_t *cause) {
    int32_t ready = INT32_MIN;
    for (unsigned n = 0; n < instruction->read_count; n++) {
        for (uint64_t mask = instruction->reads[n].mask; mask; mask &= mask - 1) {
            unsigned r = (unsigned)__builtin_ctzll(mask);
            if (!board->kind[r])
                continue;
            int32_t cycle = available(board, instruction, r, instruction->reads[n].how);
            if (cycle > ready) {
                ready = cycle;
                *cause = CAUSE_OF_KIND[board->kind[r] - 1];
            }
        }
    }
    return ready;
}

/* Whether all operands are there for the early ALU in `cycle`. */
static bool early_operands_ready(const struct board *board, const struct instruction *instruction, int32_t cycle) {
    for (unsigned n = 0; n < instruction->read_count; n++)
        for (uint64_t mask = instruction->reads[n].mask; mask; mask &= mask - 1) {
            unsigned r = (unsigned)__builtin_ctzll(mask);
            if (board->kind[r] && available(board, instruction, r, ROLE_IN_EARLY_ALU) > cycle)
                return false;
        }
    return true;
}

static bool both(uint32_t a, uint32_t b, uint32_t trait) {
    return (a & trait) && (b & trait);
}

static bool one_each(uint32_t a, uint32_t b, uint32_t first, uint32_t second) {
    return ((a & first) && (b & second)) || ((a & second) && (b & first));
}

/* Whether the two may share a cycle, operands aside. */
static bool may_pair(uint32_t older, uint32_t younger) {
    if (((older | younger) & TRAIT_SINGLE) || (younger & TRAIT_OLDER_ONLY))
        return false;
    if (both(older, younger, TRAIT_MULTIPLY) || both(older, younger, TRAIT_STORE) ||
        both(older, younger, TRAIT_SHIFTED) || both(older, younger, TRAIT_FP_ARITHMETIC) ||
        both(older, younger, TRAIT_BRANCH) || both(older, younger, TRAIT_FP_IMMEDIATE))
        return false;
    if (one_each(older, younger, TRAIT_MULTIPLY, TRAIT_STORE) ||
        one_each(older, younger, TRAIT_EXTRACT, TRAIT_SHIFTED) ||
        one_each(older, younger, TRAIT_FP_FUSED, TRAIT_FP_TRANSFER))
        return false;
    return !((older & TRAIT_PLAIN_SHIFT) && (younger & TRAIT_SHIFTED));
}

static bool uses_fpu(const struct instruction *instruction) {
    uint64_t mask = 0;
    for (unsigned n = 0; n < instruction->read_count; n++)
        mask |= instruction->reads[n].mask;
    for (unsigned n = 0; n < instruction->write_count; n++)
        mask |= instruction->writes[n].mask;
    return mask >> REGISTER_S0;
}

/* The cycle from which a multiply-accumulate and a division of the FPU let the instruction pass. */
static int32_t fpu_lets_pass(const struct board *board, const struct instruction *instruction, bool younger) {
    uint32_t traits = instruction->traits;
    bool held = (traits & TRAIT_FP_HELD) || (younger && (traits & TRAIT_FP_TRANSFER));
    int32_t cycle = held ? board->fused + board->parameters->fused_hold : INT32_MIN;
    return board->fpu_free > cycle && uses_fpu(instruction) ? board->fpu_free : cycle;
}

/* Cycles of a division of the FPU in which the core goes on. */
static int32_t in_background(const struct board *board, const struct instruction *instruction) {
    int32_t rest = instruction->issue_cycles - 1, overlap = board->parameters->fp_divide_overlap;
    bool divides = (instruction->traits & TRAIT_FP_ARITHMETIC) && (instruction->traits & TRAIT_DIVIDE);
    return !divides ? 0 : rest < overlap ? rest : overlap;
}

/* As whom the instruction waits for transfers before it. */
static enum bus_user bus_user(const struct instruction *instruction) {
    uint32_t direction = instruction->traits & (TRAIT_LOAD | TRAIT_STORE);
    if (!direction || (instruction->traits & TRAIT_MULTIPLE))
        return BUS_OTHERS;
    return direction == TRAIT_LOAD ? BUS_LOAD : BUS_STORE;
}

/* The cycle from which the transfers before let the instruction pass; a hint needs nothing that they hold. */
static int32_t bus_lets_pass(const struct board *board, const struct instruction *instruction) {
    if (!instruction->traits && !instruction->read_count && !instruction->write_count)
        return INT32_MIN;
    int32_t cycle = board->bus_free[bus_user(instruction)];
    bool is_load = instruction->traits & TRAIT_LOAD; /* one of several registers waits for both */
    return is_load && board->bus_free[BUS_LOAD] > cycle ? board->bus_free[BUS_LOAD] : cycle;
}

static void occupy_bus(struct board *board, const struct instruction *instruction) {
    const struct parameters *p = board->parameters;
    int32_t next = board->cycle + 1;
    switch (bus_user(instruction)) {
    case BUS_LOAD:
        board->bus_free[BUS_OTHERS] = next + p->load_data_phase;
        if (instruction->branch) /* everything behind it is fetched anew */
            board->bus_free[BUS_LOAD] = board->bus_free[BUS_STORE] = next + p->load_data_phase;
        break;
    case BUS_STORE:
        board->bus_free[BUS_LOAD] = next + p->load_behind_store;
        if (instruction->addressing.index != NO_REGISTER)
            board->bus_free[BUS_OTHERS] = board->bus_free[BUS_STORE] = next + p->store_at_index;
        break;
    default:
        break;
    }
}

/* `start` is the cycle of the instruction's issue. */
static void write_results(struct board *board, const struct instruction *instruction, bool younger, int32_t start) {
    bool shifts = instruction->traits & TRAIT_PLAIN_SHIFT, adds = instruction->traits & TRAIT_EARLY;
    bool shifter_taken = younger && (board->older & (TRAIT_SHIFTED | TRAIT_EXTRACT));
    bool early =
        ((adds && !younger) || (shifts && !shifter_taken)) && early_operands_ready(board, instruction, board->cycle);
    /* What the FPU takes long for comes no later for it unless the core goes on; several loaded registers come with the
     * last, the address behind them before the first. */
    bool is_fp = instruction->traits & TRAIT_FP_ARITHMETIC, is_multiple = instruction->traits & TRAIT_MULTIPLE;
    int32_t last = is_fp ? start + in_background(board, instruction) : board->cycle;
    int32_t address = is_multiple ? last - board->parameters->multiple_start : last;
    for (unsigned n = 0; n < instruction->write_count; n++) {
        enum result_kind kind = instruction->writes[n].how;
        if (early && kind == KIND_LATE_ALU)
            kind = KIND_EARLY_ALU;
        for (uint64_t mask = instruction->writes[n].mask; mask; mask &= mask - 1) {
            unsigned r = (unsigned)__builtin_ctzll(mask);
            board->kind[r] = (uint8_t)(kind + 1);
            board->condition[r] = kind == KIND_FLAGS ? 0 : condition_group(instruction);
            board->issued[r] = kind == KIND_ADDRESS_UPDATE ? address : last;
        }
    }
    if (instruction->traits & TRAIT_FP_FUSED)
        board->fused = board->cycle;
}

static void note_use(struct schedule *schedule, uint64_t mask, int32_t cycle, uint8_t role) {
    for (; mask; mask &= mask - 1) {
        unsigned r = (unsigned)__builtin_ctzll(mask);
        if (schedule->first_use[r] == NO_USE) {
            schedule->first_use[r] = (int16_t)(cycle < INT16_MAX ? cycle : INT16_MAX);
            schedule->first_use_role[r] = role;
        }
    }
}

static void note_uses(struct schedule *schedule, const struct instruction *instruction, int32_t cycle) {
    for (unsigned n = 0; n < instruction->read_count; n++)
        note_use(schedule, instruction->reads[n].mask, cycle, instruction->reads[n].how);
    for (unsigned n = 0; n < instruction->write_count; n++)
        note_use(schedule, instruction->writes[n].mask, cycle, ROLE_LATE);
}

static uint8_t cause_of_length(uint32_t traits) {
    if (traits & TRAIT_FP_ARITHMETIC)
        return CAUSE_FLOATING_POINT;
    return traits & TRAIT_DIVIDE ? CAUSE_DIVIDE : CAUSE_ISSUE;
}

/* The later of both cycles, and why it is. */
static int32_t wait_until(uint32_t *causes, uint8_t cause, int32_t start, int32_t cycle) {
    if (cycle <= start)
        return start;
    causes[cause] += (uint32_t)(cycle - start);
    return cycle;
}

/* Issues one instruction; returns its place. */
static struct placement issue(struct board *board, const struct instruction *instruction) {
    uint32_t *causes = board->schedule->causes, traits = instruction->traits;
    uint8_t cause = CAUSE_OPERAND;
    int32_t operands = operands_ready(board, instruction, &cause), fetch = fetched(board, instruction);
    int32_t earliest = operands > fetch ? operands : fetch, held = fpu_lets_pass(board, instruction, true);
    struct placement place = {0};
    bool pairs = board->parameters->issue_width > 1 ? may_pair(board->older, traits)
                                                    : board->parameters->it_folds && instruction->it_state;
    place.younger = board->has_older && pairs && earliest <= board->cycle && held <= board->cycle;
    if (place.younger) {
        place.paired_load = both(board->older, traits, TRAIT_LOAD);
        place.cycle = (uint16_t)board->cycle;
        board->has_older = false;
        causes[cause_of_length(traits)] += instruction->issue_cycles - 1u;
        board->cycle += instruction->issue_cycles - 1;
        write_results(board, instruction, true, place.cycle);
        return place;
    }
    int32_t next = board->cycle + 1, start = next;
    held = fpu_lets_pass(board, instruction, false);
    int32_t bus = bus_lets_pass(board, instruction), background = in_background(board, instruction);
    start = start > fetch ? start : fetch;
    causes[CAUSE_FETCH] += (uint32_t)(start - next);
    start = wait_until(causes, cause, start, operands);
    start = wait_until(causes, CAUSE_FLOATING_POINT, start, held);
    bool behind_store = board->has_older && board->older & TRAIT_STORE;
    start = wait_until(causes, behind_store ? CAUSE_STORE_BUFFER : CAUSE_LOAD_USE, start, bus);
    causes[CAUSE_ISSUE] += 1;
    causes[cause_of_length(traits)] += (uint32_t)(instruction->issue_cycles - 1 - background);
    place.cycle = (uint16_t)start;
    place.overlapped = bus_user(instruction) != BUS_OTHERS && start < board->bus_free[BUS_OTHERS];
    board->cycle = start + instruction->issue_cycles - 1 - background;
    if (background)
        board->fpu_free = start + instruction->issue_cycles;
    occupy_bus(board, instruction);
    write_results(board, instruction, false, start);
    board->older = traits;
    board->has_older = !(traits & TRAIT_SINGLE);
    return place;
}

static uint16_t misprediction(const struct board *board, const struct instruction *last, int32_t branch_cycle) {
    const struct parameters *parameters = board->parameters;
    unsigned r = last->read_count ? (unsigned)__builtin_ctzll(last->reads[0].mask) : REGISTER_FLAGS; /* CBZ reads it */
    bool known = last->branch == BRANCH_CONDITIONAL &&
                 (!board->kind[r] || branch_cycle - board->issued[r] >= parameters->flags_known_after);
    int32_t address = last->traits & TRAIT_LOAD ? parameters->loaded_target : 0;
    return (uint16_t)(address + (known ? parameters->mispredicted_flags_known : parameters->mispredicted));
}

void schedule_block(struct schedule *schedule, struct placement *placements, const struct instruction *instructions,
                    size_t count, const struct pipeline *entry, bool by_branch, const struct parameters *parameters) {
    struct board board = {.parameters = parameters, .schedule = schedule};
    memset(schedule, 0, sizeof *schedule);
    for (unsigned r = 0; r < REGISTER_COUNT; r++)
        schedule->first_use[r] = NO_USE;
    open_board(&board, entry, count ? instructions[0].address : 0, by_branch);
    for (size_t n = 0; n < count; n++) {
        placements[n] = issue(&board, &instructions[n]);
        note_uses(schedule, &instructions[n], placements[n].cycle);
        if (instructions[n].traits & TRAIT_BARRIER) {
            schedule->causes[CAUSE_BRANCH] += (uint32_t)parameters->barrier;
            board.cycle += parameters->barrier;
        }
    }
    schedule->cycles = (uint32_t)board.cycle;
    if (count)
        schedule->mispredicted = misprediction(&board, &instructions[count - 1], placements[count - 1].cycle);
    close_board(&board, &schedule->exit);
}

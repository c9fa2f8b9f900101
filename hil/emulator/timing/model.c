#include "model.h"

#include "block.h"
#include "branch.h"
#include "memory.h"
#include "states.h"
#include "timing.h"

#include <stdlib.h>
#include <string.h>

enum { CODE_GRANULE = 32 };

struct model {
    struct parameters parameters;
    struct clock clock;
    struct memory_system memory;
    struct branch_predictor branches;
    struct block *blocks, *blocks_by_hash[HASH_SIZE];
    struct state_table states;
    struct variant *running;
    uint32_t next_access; /* of the running block */
    uint32_t next_access_address;
    uint32_t position; /* cycle of the last access from the block's start */
    enum cache_rule cache_rule;
    bool caches_were_set;
    uint32_t control; /* what the firmware wrote last into the register with the caches' bits */
    uint64_t code_writes, before_first[CAUSE_COUNT];
    uint32_t code_write_address;
};

#define OFFSET_OF_PARAMETER(name) offsetof(struct parameters, name),
static const size_t PARAMETER_OFFSETS[] = {CORE_PARAMETERS(OFFSET_OF_PARAMETER)};

int model_set(struct model *model, const char *name, int32_t value) {
    const char *known;
    for (uint32_t n = 0; (known = model_parameter(n)); n++)
        if (!strcmp(name, known)) {
            memcpy((char *)&model->parameters + PARAMETER_OFFSETS[n], &value, sizeof value);
            return 0;
        }
    return -1;
}

int model_set_latency(struct model *model, uint32_t kind, uint32_t role, int32_t value) {
    if (kind >= KIND_COUNT || role >= ROLE_COUNT || value < 0 || value > INT8_MAX)
        return -1;
    model->parameters.latency[kind][role] = (int8_t)value;
    return 0;
}

/* Life */

struct model *model_create(void) {
    struct model *model = calloc(1, sizeof(struct model));
    if (model) {
        model->control = 0x00040200; /* after reset: STKALIGN and BP */
        model_set_caches(model, CACHES_ON);
    }
    return model;
}

int model_add_memory(struct model *model, const struct model_memory *memory) {
    if (model->memory.memory_count == MEMORIES_MAX)
        return -1;
    model->memory.memories[model->memory.memory_count++] = (struct memory){
        .base = memory->base,
        .size = memory->size,
        .path = memory->on_bus ? PATH_BUS : PATH_TIGHTLY_COUPLED,
        .fill = memory->fill,
        .sequential_fill = memory->sequential_fill,
        .beat = memory->beat,
        .occupancy = memory->occupancy,
    };
    return 0;
}

int model_add_flash(struct model *model, const struct model_flash *flash) {
    struct memory_system *system = &model->memory;
    if (system->memory_count == MEMORIES_MAX || system->flash.size)
        return -1;
    system->memories[system->memory_count++] =
        (struct memory){.base = flash->base, .size = flash->size, .path = PATH_ACCELERATED};
    system->flash.base = flash->base;
    system->flash.size = flash->size;
    system->flash.wait_states = flash->wait_states;
    system->flash.word_bytes = flash->word_bytes;
    return flash_accelerator_create(&system->flash, flash->line_bytes, flash->instruction_lines, flash->data_lines);
}

static bool is_possible(const struct parameters *p) {
    return p->linefill_buffers >= 1 && p->linefill_buffers <= LINES_IN_FLIGHT_MAX && p->store_buffer_entries >= 1 &&
           p->store_buffer_entries <= STORE_BUFFER_MAX && p->fetch_bytes >= 4 &&
           !(p->fetch_bytes & (p->fetch_bytes - 1)) && p->cache_line_bytes >= 8 && p->divide >= 1 && p->system >= 1 &&
           p->table_branch >= 1 && p->multiple_words >= 1 && p->return_stack_entries <= RETURN_STACK_MAX &&
           p->counted_passes < UINT8_MAX;
}

int model_start(struct model *model) {
    const struct parameters *p = &model->parameters;
    if (!is_possible(p) || state_table_create(&model->states, p) || branch_predictor_create(&model->branches, p) ||
        memory_system_create(&model->memory, p))
        return -1;
    model->clock.causes = model->before_first;
    return 0;
}

void model_destroy(struct model *model) {
    for (struct block *block = model->blocks, *next; block; block = next) {
        next = block->next;
        block_destroy(block);
    }
    memory_system_destroy(&model->memory);
    branch_predictor_destroy(&model->branches);
    state_table_destroy(&model->states);
    free(model);
}

/* Code */

static void remember_code(struct model *model, uint32_t address, uint32_t size) {
    int index = memory_at(&model->memory, address);
    if (index < 0)
        return;
    struct memory *memory = &model->memory.memories[index];
    if (!memory->code_lines)
        memory->code_lines = calloc(memory->size / CODE_GRANULE / 8 + 1, 1);
    if (!memory->code_lines)
        return;
    uint32_t last = (address - memory->base + size - 1) / CODE_GRANULE;
    for (uint32_t line = (address - memory->base) / CODE_GRANULE; line <= last && line < memory->size / CODE_GRANULE;
         line++)
        memory->code_lines[line / 8] |= (uint8_t)(1 << line % 8);
}

struct block *model_decode(struct model *model, uint32_t address, const uint8_t *code, uint32_t size) {
    uint32_t key[2] = {address, size};
    struct block **bucket = &model->blocks_by_hash[hash_of(key, sizeof key)];
    for (struct block *block = *bucket; block; block = block->same_hash)
        if (block->address == address && block->size == size && !memcmp(block->code, code, size))
            return block;
    const struct block *before = model->running ? model->running->block : NULL;
    bool goes_on = before && before->address + before->size == address;
    struct block *block = block_create(address, code, size, goes_on ? before->it_state : 0, &model->parameters);
    if (!block)
        return NULL;
    block->next = model->blocks;
    model->blocks = block;
    block->same_hash = *bucket;
    *bucket = block;
    remember_code(model, address, size);
    return block;
}

static struct variant *variant_of(struct model *model, struct block *block, uint32_t entry, bool by_branch) {
    for (struct variant *variant = block->variants; variant; variant = variant->next)
        if (variant->entry == entry && variant->by_branch == by_branch)
            return variant;
    struct variant *variant = block_schedule(block, entry, &model->states.states[entry], by_branch, &model->parameters);
    if (variant)
        variant->exit = state_table_number(&model->states, &variant->schedule.exit);
    return variant;
}

/* Time */

static void end_block(struct model *model) {
    const struct variant *ended = model->running;
    if (model->memory.waiting_count)
        memory_wait(&model->memory, &model->clock, model->clock.scheduled + ended->schedule.cycles);
    model->clock.scheduled += ended->schedule.cycles;
}

/* What the end of one block and the start of the next cost; the variant of the next. */
static struct variant *step(struct model *model, struct variant *ended, struct block *block) {
    const struct instruction *last = block_last(ended->block);
    uint32_t behind = ended->block->address + ended->block->size;
    bool taken = block->address != behind;
    if (last->branch) {
        const struct branch branch = {last, block->address, behind, taken};
        enum prediction prediction = branch_predict(&model->branches, &branch);
        if (prediction == MISPREDICTED) {
            stall(&model->clock, CAUSE_BRANCH, ended->schedule.mispredicted);
            if (model->branches.sets) /* afterwards nothing is under way; without prediction it costs less */
                return variant_of(model, block, 0, true);
        }
        if (prediction == FOUND_BY_DECODER)
            stall(&model->clock, CAUSE_BRANCH, model->parameters.unpredicted_direct_branch);
        if (prediction == OVERRIDDEN)
            stall(&model->clock, CAUSE_BRANCH, model->parameters.overridden_branch);
    }
    struct variant **remembered = taken ? &ended->after_branch : &ended->after_fall;
    if (!*remembered || (*remembered)->block != block)
        *remembered = variant_of(model, block, ended->exit, taken);
    return *remembered;
}

/* Makes the access of that number the next one of the running block. */
static void expect_access(struct model *model, uint32_t number) {
    const struct variant *running = model->running;
    model->next_access = number;
    model->next_access_address =
        number < running->block->access_count ? running->accesses[number].instruction->address : UINT32_MAX;
}

void model_set_caches(struct model *model, enum cache_rule rule) {
    model->cache_rule = rule;
    model->memory.instructions_cached = model->memory.data_cached = rule == CACHES_ON;
}

bool model_caches_were_set(const struct model *model) {
    return model->caches_were_set;
}

/* The firmware writes the flash's access control register (RM0432 and RM0090 agree on these bits). */
static void control_flash_caches(struct model *model, uint32_t value) {
    struct flash_accelerator *flash = &model->memory.flash;
    model->caches_were_set = true;
    flash->prefetches = value >> 8 & 1;
    if (model->cache_rule != CACHES_OFF) {
        model->memory.instructions_cached = value >> 9 & 1;
        model->memory.data_cached = value >> 10 & 1;
    }
    if (value >> 11 & 1)
        flash_forget(&flash->instructions);
    if (value >> 12 & 1)
        flash_forget(&flash->data);
}

/* The firmware writes the configuration and control register. A write that changes nothing turns off what is off: no
 * other purpose has one. */
static void control_caches(struct model *model, uint32_t value) {
    bool data = value >> 16 & 1, instructions = value >> 17 & 1;
    model->caches_were_set |= data || instructions || value == model->control;
    model->control = value;
    if (model->caches_were_set && model->cache_rule != CACHES_OFF) {
        model->memory.instructions_cached = instructions;
        model->memory.data_cached = data;
        model->memory.fetched_line = NO_LINE;
    }
}

void model_maintain(struct model *model, uint32_t offset, uint32_t value) {
    enum { CCR = 0xD14, ICIALLU = 0xF50, DCISW = 0xF60, DCCISW = 0xF74, BPIALL = 0xF78 };
    const struct parameters *p = &model->parameters;
    uint32_t line_bytes = (uint32_t)p->cache_line_bytes;
    bool is_accelerated = model->memory.flash.size;
    if (offset == TIMING_FLASH_CONTROL && is_accelerated)
        control_flash_caches(model, value);
    if (offset == CCR && !is_accelerated)
        control_caches(model, value);
    if (offset >= MPU_CTRL && offset <= MPU_RASR)
        memory_protect(&model->memory, offset, value);
    if (offset == ICIALLU)
        memory_forget_instructions(&model->memory);
    if (offset == BPIALL)
        branch_predictor_forget(&model->branches);
    if (offset == DCISW || offset == DCCISW) /* the way is in the highest bits, the set above the line's */
        memory_forget_data(&model->memory, (value & 0x3FFFFFFFu) / line_bytes, value >> 30);
}

const uint32_t *model_next_access(const struct model *model) {
    return &model->next_access_address;
}

void model_enter(struct model *model, struct block *block) {
    struct variant *ended = model->running, *variant;
    if (ended) {
        end_block(model);
        variant = step(model, ended, block);
    } else {
        variant = variant_of(model, block, 0, true);
    }
    model->running = variant;
    if (!variant)
        return;
    variant->executions++;
    model->clock.causes = variant->added;
    model->position = 0;
    expect_access(model, 0);
    if (model->memory.waiting_count)
        memory_find_uses(&model->memory, &model->clock, &variant->schedule);
    const struct block_fetch fetch = {block->address, block->size, variant->schedule.cycles};
    memory_fetch(&model->memory, &model->clock, &fetch);
}

static void note_code_write(struct model *model, uint32_t address) {
    int index = memory_at(&model->memory, address);
    const struct memory *memory = index < 0 ? NULL : &model->memory.memories[index];
    uint32_t line = memory ? (address - memory->base) / CODE_GRANULE : 0;
    if (memory && memory->code_lines && (memory->code_lines[line / 8] >> line % 8 & 1)) {
        model->code_writes++;
        model->code_write_address = address;
    }
}

/* Whether a condition holds (Armv7-M Architecture Reference Manual, ConditionPassed). */
static bool holds(unsigned condition, uint32_t flags) {
    bool n = flags >> 31 & 1, z = flags >> 30 & 1, c = flags >> 29 & 1, v = flags >> 28 & 1;
    const bool results[8] = {z, c, n, v, c && !z, n == v, n == v && !z, true};
    return results[condition >> 1] != ((condition & 1) && condition != 15);
}

static uint32_t address_of(const struct addressing *addressing, register_reader *read_register, void *context) {
    uint32_t address = addressing->offset;
    if (addressing->base != NO_REGISTER)
        address += read_register(context, addressing->base);
    if (addressing->index != NO_REGISTER)
        address += read_register(context, addressing->index) << addressing->shift;
    return address;
}

void model_access(struct model *model, register_reader *read_register, void *context) {
    const struct access *access = &model->running->accesses[model->next_access];
    const struct instruction *instruction = access->instruction;
    expect_access(model, model->next_access + 1);
    if ((instruction->traits & TRAIT_CONDITIONAL) &&
        !holds(instruction->condition, read_register(context, REGISTER_FLAGS)))
        return;
    uint32_t address = address_of(&instruction->addressing, read_register, context);
    model->position = access->cycle;
    for (unsigned word = 0; word < instruction->access_count; word++, address += 4) {
        if (access->is_store) {
            note_code_write(model, address);
            memory_store(&model->memory, &model->clock, access, address, instruction->access_bytes, word);
        } else {
            memory_load(&model->memory, &model->clock, access, address, instruction->access_bytes);
        }
    }
}

void model_sleep(struct model *model, uint64_t cycles) {
    stall(&model->clock, CAUSE_SLEEP, (int64_t)cycles);
}

void model_exception(struct model *model) {
    stall(&model->clock, CAUSE_EXCEPTION, model->parameters.exception);
}

uint64_t model_cycles(const struct model *model) {
    return now(&model->clock) + model->position;
}

void model_finish(struct model *model) {
    if (model->running)
        end_block(model);
    model->running = NULL;
    model->position = 0;
}

/* Results */

size_t model_profile(const struct model *model, struct model_block *rows, size_t capacity) {
    size_t count = 0;
    for (const struct block *block = model->blocks; block; block = block->next) {
        struct model_block row = {.address = block->address, .size = block->size};
        for (const struct variant *variant = block->variants; variant; variant = variant->next) {
            row.executions += variant->executions;
            for (unsigned cause = 0; cause < CAUSE_COUNT; cause++)
                row.cycles[cause] += variant->added[cause];
            for (unsigned cause = 0; cause < CAUSE_DATA_MISS; cause++)
                row.cycles[cause] += variant->executions * variant->schedule.causes[cause];
        }
        row.instructions = row.executions * block->instruction_count;
        if (row.executions == 0)
            continue;
        if (count < capacity)
            rows[count] = row;
        count++;
    }
    return count;
}

size_t model_warnings(const struct model *model, struct model_warning *rows, size_t capacity) {
    size_t count = 0;
    for (const struct block *block = model->blocks; block; block = block->next) {
        uint64_t executions = 0;
        for (const struct variant *variant = block->variants; variant; variant = variant->next)
            executions += variant->executions;
        if (!block->unknown_count || !executions)
            continue;
        if (count < capacity)
            rows[count] = (struct model_warning){WARNING_UNKNOWN_INSTRUCTION, block->unknown_address,
                                                 executions * block->unknown_count};
        count++;
    }
    if (model->code_writes) {
        if (count < capacity)
            rows[count] = (struct model_warning){WARNING_MODIFIED_CODE, model->code_write_address, model->code_writes};
        count++;
    }
    return count;
}

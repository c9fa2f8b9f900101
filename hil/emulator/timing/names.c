/* Names of what a user sets and reads, in the order of their definitions. */
#include "model.h"

#include <stddef.h>

#define NAME_OF_PARAMETER(name) #name,
#define NAME_OF_PAIR(upper, lower) #lower,
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
static const char *const PARAMETER_NAMES[] = {CORE_PARAMETERS(NAME_OF_PARAMETER)};
static const char *const KIND_NAMES[] = {RESULT_KINDS(NAME_OF_PAIR)};
static const char *const ROLE_NAMES[] = {OPERAND_ROLES(NAME_OF_PAIR)};
static const char *const CAUSE_NAMES[] = {CAUSES(NAME_OF_PAIR) "data_miss"};

static const char *name_of(const char *const *names, size_t count, uint32_t index) {
    return index < count ? names[index] : NULL;
}

const char *model_parameter(uint32_t index) {
    return name_of(PARAMETER_NAMES, COUNT_OF(PARAMETER_NAMES), index);
}
const char *model_result_kind(uint32_t index) {
    return name_of(KIND_NAMES, COUNT_OF(KIND_NAMES), index);
}
const char *model_operand_role(uint32_t index) {
    return name_of(ROLE_NAMES, COUNT_OF(ROLE_NAMES), index);
}
const char *model_cause(uint32_t index) {
    return name_of(CAUSE_NAMES, COUNT_OF(CAUSE_NAMES), index);
}

uint32_t model_cause_count(void) {
    return CAUSE_COUNT;
}

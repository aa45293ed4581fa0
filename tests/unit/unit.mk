# SPDX-License-Identifier: MIT
# Host programs: unit tests (tests/unit/test_*.c, cmocka) and fuzzers (tests/fuzz/fuzz_*.c, libFuzzer). Each file is a
# program of its own. Lines near its top say what it is linked with:
#     /* links: vmm/config.c lib/format.c */      sources of the project
#     /* libs: -lZydis */                         libraries besides, where needed
BUILD ?= build
HOSTCC ?= gcc
FUZZCC ?= clang
FUZZ_SECONDS ?= 20

unit_tests := $(sort $(wildcard tests/unit/test_*.c))
unit_programs := $(unit_tests:tests/unit/%.c=$(BUILD)/unit/%)
fuzz_tests := $(sort $(wildcard tests/fuzz/fuzz_*.c))
fuzz_programs := $(fuzz_tests:tests/fuzz/%.c=$(BUILD)/fuzz/%)

host_cflags := -std=gnu11 -O1 -g -Wall -Wextra -Werror -I. -MMD -MP -fsanitize=address,undefined \
	-fno-sanitize-recover=all -fno-omit-frame-pointer

# $(call said,FILE,WORD): what FILE's line "/* WORD: ... */" says.
said = $(shell sed -n 's:^/\* *$2\: *\(.*[^ ]\) *\*/ *$$:\1:p' $1)

# $(call host_program,KIND,SOURCE): how the program of that source is linked.
define host_program
$(BUILD)/$1/$(basename $(notdir $2)): $(patsubst %.c,$(BUILD)/$1/obj/%.o,$2 $(call said,$2,links))
	@echo "  LINK    $$@"
	@$$($1_link) $$^ $(call said,$2,libs) $$($1_libs) -o $$@
endef

unit_link = $(HOSTCC) -fsanitize=address,undefined
unit_libs := -lcmocka
fuzz_link = $(FUZZCC) -fsanitize=fuzzer,address,undefined

$(foreach t,$(unit_tests),$(eval $(call host_program,unit,$t)))
$(foreach t,$(fuzz_tests),$(eval $(call host_program,fuzz,$t)))

$(BUILD)/unit/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  HOSTCC  $<"
	@$(HOSTCC) $(host_cflags) -c $< -o $@

$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  FUZZCC  $<"
	@$(FUZZCC) $(host_cflags) -fsanitize=fuzzer-no-link -c $< -o $@

-include $(shell find $(BUILD)/unit/obj $(BUILD)/fuzz/obj -name '*.d' 2>/dev/null)

.PHONY: unit check-unit fuzz
unit: $(unit_programs) ## build the unit tests

check-unit: $(unit_programs) ## build and run the unit tests
	@scripts/run-unit-tests $(unit_programs)

fuzz: $(fuzz_programs) ## run each fuzzer for FUZZ_SECONDS (20)
	@scripts/run-fuzzers $(FUZZ_SECONDS) $(fuzz_programs)

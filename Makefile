# Nidus: see 'make help'.
BUILD ?= build
all: $(BUILD)/nidus.elf

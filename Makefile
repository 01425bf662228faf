# SPDX-License-Identifier: Apache-2.0
# The index of tasks; whatever takes more than a few lines is a script of its own in scripts/.
#
#   make                 build/app_audiofork.so, build/audiofork-engine and build/audiofork
#   make demo            a call on a private Asterisk, forked, received, heard and measured
#   make demo-transcribe the same with a recognizer: the words of both parties, as they are spoken
#   make test            every check of a change, against real Asterisk 22 and 16; what .ci/run runs
#   make help            the rest

PREFIX ?= /usr/local
# Where asterisk.h is. Another folder, or another PREFIX, builds another module.
ASTERISK_INCLUDE ?= /usr/include
CONFIGURATION ?= release

module := build/app_audiofork.so
# The program that the module starts, and the one for people.
engine := build/audiofork-engine
program := build/audiofork
documentation := build/app_audiofork-en_US.xml
SCRATCH := .build

all: $(module) $(engine) $(program) $(documentation)

help:
	@echo "make                  build $(module), both programs and Asterisk's help;"
	@echo "                      ASTERISK_INCLUDE=DIR (holds asterisk.h), ASTERISK_VERSION=x.y.z"
	@echo "make demo             fork a call on a private Asterisk 22 and show what arrived"
	@echo "make demo-transcribe  show the words of both parties of a call as they are spoken;"
	@echo "                      SERVER=ws://HOST:PORT is a server of yours with the Vosk server's protocol"
	@echo "make test             run every check of a change, against real Asterisk 22 and 16"
	@echo "make test-unit        tests that need no Asterisk"
	@echo "make test-asterisk    tests on real Asterisk 22 and 16"
	@echo "make test-long        what is too long for every change: weekly"
	@echo "make test-speech      recognized words: ten prompts of two parties, and the Vosk server's own program"
	@echo "make check            what scripts can see: licenses, imports, format, the module's symbols, the documents"
	@echo "make format           writes the Swift files as 'make check' wants them"
	@echo "make chaos            20 calls on Asterisk 22 under random faults, every sample accounted for;"
	@echo "                      SEED=n MINUTES=m TLS=1"
	@echo "make kills            20 calls under KILLS=n kills of the engine and as many of the server; SEED=n"
	@echo "make soak             FORKS=n short forks and CYCLES=n starts and stops over AMI;"
	@echo "                      nothing may be left of them"
	@echo "make jitter           RTP through Asterisk with forks to a stalled server and without,"
	@echo "                      in interleaved pairs; PAIRS=n"
	@echo "make bench            what forks cost, beside their alternatives and a bare sender:"
	@echo "                      tables, Benchmarks/results"
	@echo "make bench-hostile    an honest stream beside 120 hostile connections, with limits;"
	@echo "                      SECONDS=n of each of RUNS=n runs"
	@echo "make bench-control    what 250 to 2000 forks cost the module's control thread, with limits"
	@echo "make bench-quick      the ratios alone, with limits"
	@echo "make fuzz             arbitrary bytes at all that takes them from outside; SECONDS=n for each target"
	@echo "make tsan             the ring's writer and reader, the unit tests and an engine under load:"
	@echo "                      thread sanitizer"
	@echo "make asan             the unit tests and an engine under load: address sanitizer"
	@echo "make install          what make built, into PREFIX ($(PREFIX)) and Asterisk's folders; DESTDIR is honored"
	@echo "make samples          audiofork.conf into Asterisk's configuration folder, unless there is one"
	@echo "make uninstall        removes what install wrote"
	@echo "make clean            removes build/"

module: $(module)
engine: $(engine) $(program)
documentation: $(documentation)

$(module): FORCE deps
	@$(MAKE) -s -C Module OUT=../build/module ASTERISK_INCLUDE='$(abspath $(ASTERISK_INCLUDE))' \
	  ENGINE='$(PREFIX)/libexec/audiofork/audiofork-engine'
	@cmp -s build/module/app_audiofork.so $@ || { install -m 755 build/module/app_audiofork.so $@.new && mv $@.new $@; }

$(engine) $(program): build/%: FORCE deps
	swift build -c $(CONFIGURATION) --scratch-path $(SCRATCH) --product $*
	@mkdir -p build
	@cmp -s $(SCRATCH)/$(CONFIGURATION)/$* $@ || \
	  { install -m 755 $(SCRATCH)/$(CONFIGURATION)/$* $@.new && mv $@.new $@; }

# Two builds in one scratch folder would wait for each other.
$(program): | $(engine)

# What core show application and its like print, made from the tables that the module is made from.
$(documentation): $(program)
	@$(program) reference xml > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# Debian packages that the build needs; does nothing where they are installed.
deps:
	@scripts/install-packages make gcc libc6-dev libsndfile1-dev libspeexdsp-dev

demo:
	@scripts/demo

demo-transcribe:
	@scripts/demo-transcribe $(if $(SERVER),--server '$(SERVER)')

test:
	@scripts/test

test-long:
	@scripts/test long

test-speech:
	@scripts/test speech

test-unit:
	@scripts/test unit

test-asterisk:
	@scripts/test asterisk

check:
	@scripts/test check

format:
	@git ls-files -z -co --exclude-standard '*.swift' | \
	  xargs -0 swift format --in-place --parallel --configuration .swift-format

# What docs/reliability.md holds against its promises.
SEED ?= 1
MINUTES ?= 1
KILLS ?= 200
FORKS ?= 10000
CYCLES ?= 100000
PAIRS ?= 3
SECONDS ?= 10
RUNS ?= 3

chaos:
	@scripts/lab/prove chaos --seed $(SEED) --minutes $(MINUTES) $(if $(TLS),--tls)

kills:
	@scripts/lab/prove kills --seed $(SEED) --kills $(KILLS)

# What docs/performance.md shows: tables, and the files of Benchmarks/results.
bench: bench-engine bench-asterisk

bench-engine:
	@scripts/lab/bench-load engine --out Benchmarks/results
	@scripts/lab/bench-load burst --out Benchmarks/results

bench-asterisk:
	@scripts/lab/bench-load asterisk --out Benchmarks/results

# What hostile servers do to an honest one's stream, with limits.
bench-hostile: SECONDS = 60
bench-hostile:
	@scripts/lab/bench-load hostile --seconds $(SECONDS) --runs $(RUNS) --out Benchmarks/results

# What many forks cost the module's control thread, with limits.
bench-control:
	@scripts/lab/bench-load control --out Benchmarks/results

# The ratios alone, with room for a busy machine.
bench-quick:
	@scripts/lab/bench-load quick

soak:
	@scripts/lab/prove soak --forks $(FORKS) --cycles $(CYCLES)

jitter:
	@scripts/lab/prove jitter --pairs $(PAIRS)

fuzz:
	@scripts/lab/fuzz $(SECONDS)

tsan:
	@scripts/lab/test-ring-tsan
	@scripts/lab/sanitized thread

asan:
	@scripts/lab/sanitized address

# Builds nothing: as root there may be no compiler, and what root builds the user cannot build again.
install:
	@scripts/install install '$(DESTDIR)' '$(PREFIX)'

samples:
	@scripts/install samples '$(DESTDIR)' '$(PREFIX)'

uninstall:
	@scripts/install uninstall '$(DESTDIR)' '$(PREFIX)'

clean:
	rm -rf build

FORCE:
.PHONY: all help module engine documentation deps demo demo-transcribe
.PHONY: test test-unit test-asterisk test-long test-speech check format
.PHONY: bench bench-engine bench-asterisk bench-hostile bench-control bench-quick
.PHONY: chaos kills soak jitter fuzz tsan asan
.PHONY: install samples uninstall clean FORCE

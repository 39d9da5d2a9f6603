# make demo: the main job in a real VM; make test: all tests; make static: the program as it goes into a bundle.

AMD64 = target/guestbake-amd64
ARM64 = target/guestbake-arm64
CARGO ?= cargo

.PHONY: static arm64 manual demo demo-failure test fuzz chaos engines stacks lint clean

# No interpreter, no shared library: it has to start in any guest. Cargo itself knows whether there is something to do.
# Relocations in their short form and equal functions folded: half a megabyte of 6.
static: arm64
	RUSTFLAGS='-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs -C link-arg=-Wl,--icf=all' \
		$(CARGO) build --release --locked --no-default-features --target x86_64-unknown-linux-gnu
	cp -f target/x86_64-unknown-linux-gnu/release/guestbake $(AMD64)

# Where a cross linker and a Rust standard library for it are (in Debian 12: rustc-web, libstd-rust-web-dev:arm64,
# libc6-dev:arm64, gcc-aarch64-linux-gnu; or rustup target add aarch64-unknown-linux-gnu).
arm64:
	@if ! command -v aarch64-linux-gnu-gcc >/dev/null; then \
		echo "no $(ARM64): aarch64-linux-gnu-gcc is not installed"; exit 0; \
	fi; \
	for rustc in "$$(command -v rustc)" /usr/bin/rustc; do \
		if [ -x "$$rustc" ] && ls "$$("$$rustc" --print target-libdir --target aarch64-unknown-linux-gnu)"/libstd-*.rlib \
			>/dev/null 2>&1; then \
			set -ex; \
			RUSTC="$$rustc" RUSTFLAGS='-C target-feature=+crt-static' \
			CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
				$(CARGO) build --release --locked --no-default-features --target aarch64-unknown-linux-gnu; \
			cp -f target/aarch64-unknown-linux-gnu/release/guestbake $(ARM64); \
			exit 0; \
		fi; \
	done; \
	echo "no $(ARM64): no Rust standard library for aarch64-unknown-linux-gnu"

# Man pages and the shells' completions: verbs of the ordinary build, too large for the program in a bundle.
manual:
	$(CARGO) build --locked
	@mkdir -p target/manual; cd target/manual; set -ex; program=../debug/guestbake; \
	$$program man >guestbake.1; \
	for verb in run check wait migrate smoke diagnose status report watch; do \
		$$program man $$verb >guestbake-$$verb.1; \
	done; \
	$$program completions bash >guestbake.bash; \
	$$program completions zsh >_guestbake; \
	$$program completions fish >guestbake.fish

demo:
	tests/vm/demo.sh

demo-failure:
	tests/vm/demo.sh failure

test:
	tests/run.sh

# Ten million inputs over the parsers of the bundle; FUZZ_INPUTS and FUZZ_SEED choose others.
fuzz:
	FUZZ_INPUTS=$${FUZZ_INPUTS:-10000000} $(CARGO) test --release --locked --test fuzz -- --nocapture

# SIGKILL of a random process of the tree at a random moment, CHAOS_RUNS times (200); then the long rows of the
# table of faults, and those in VMs.
chaos:
	CHAOS_RUNS=$${CHAOS_RUNS:-200} $(CARGO) test --locked --test chaos -- --nocapture
	$(CARGO) test --locked --test faults -- --ignored --nocapture
	tests/vm/test.sh --long

# The example stacks of config/, each in a VM of its own.
stacks:
	tests/vm/test.sh postfixadmin mosquitto

# The engine tests on the Docker and Podman of other Debian releases than this machine's.
engines:
	tests/engines.sh

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked -- -D warnings
	$(CARGO) clippy --all-targets --locked -- -D warnings -A clippy::disallowed_methods
	@if command -v shellcheck >/dev/null; then \
		set -ex; shellcheck -x -P SCRIPTDIR iso/*.sh tests/*.sh tests/vm/*.sh tests/vm/cases/*.sh tests/vm/cases/long/*.sh tests/vm/cases/stacks/*.sh tests/vm/images/*.sh; \
	else \
		echo "shellcheck is not installed: scripts are not checked"; \
	fi

clean:
	rm -rf target

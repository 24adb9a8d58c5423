# Builds cutover and installs it with its service.
#
#   make                 builds the release
#   make install         installs it below PREFIX (and SYSCONFDIR), inside DESTDIR where that is given; starts nothing
#   make activate        after an installation on this machine: makes the user and the directories, tells systemd
#   make uninstall       removes what was installed; configuration, ledger and user stay
#
# BINARY=path/to/cutover installs a program that is built already.
PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
BINDIR     ?= $(PREFIX)/bin
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERS   ?= $(PREFIX)/lib/sysusers.d
TMPFILES   ?= $(PREFIX)/lib/tmpfiles.d
POLKITDIR  ?= $(SYSCONFDIR)/polkit-1/rules.d
DOCDIR     ?= $(PREFIX)/share/doc/cutover
MANDIR     ?= $(PREFIX)/share/man
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
FISHDIR    ?= $(PREFIX)/share/fish/vendor_completions.d
CARGO      ?= cargo
RELEASE    := target/release/cutover
BINARY     ?= $(RELEASE)
UNITS      := cutover.service cutover@.service
RULES      := $(POLKITDIR)/50-cutover.rules

.PHONY: all install activate uninstall

all: $(BINARY)

# cargo itself knows what is out of date.
.PHONY: $(RELEASE)
$(RELEASE):
	$(CARGO) build --release --locked

install: $(BINARY)
	install -Dm755 $(BINARY) $(DESTDIR)$(BINDIR)/cutover
	install -d $(DESTDIR)$(UNITDIR)
	for unit in $(UNITS); do \
	  sed 's|/usr/bin/cutover|$(BINDIR)/cutover|; s|/etc/cutover|$(SYSCONFDIR)/cutover|; s|/usr/share/doc/cutover|$(DOCDIR)|' systemd/$$unit >$(DESTDIR)$(UNITDIR)/$$unit && \
	  chmod 644 $(DESTDIR)$(UNITDIR)/$$unit || exit 1; \
	done
	install -Dm644 systemd/cutover.sysusers $(DESTDIR)$(SYSUSERS)/cutover.conf
	install -Dm644 systemd/cutover.tmpfiles $(DESTDIR)$(TMPFILES)/cutover.conf
	test -e $(DESTDIR)$(RULES) || install -Dm644 systemd/cutover.rules $(DESTDIR)$(RULES)
	install -Dm644 -t $(DESTDIR)$(DOCDIR) config.example.toml README.md CHANGELOG.md
	install -Dm644 -t $(DESTDIR)$(DOCDIR)/drop-ins systemd/drop-ins/*.conf
# The program writes its own manual and completions, where it is a version that has them.
	if $(BINARY) man --help >/dev/null 2>&1; then \
	  install -d $(DESTDIR)$(MANDIR)/man1 && $(BINARY) man >$(DESTDIR)$(MANDIR)/man1/cutover.1; \
	fi
	if $(BINARY) completions --help >/dev/null 2>&1; then \
	  install -d $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR) && \
	  $(BINARY) completions bash >$(DESTDIR)$(BASHDIR)/cutover && \
	  $(BINARY) completions zsh >$(DESTDIR)$(ZSHDIR)/_cutover && \
	  $(BINARY) completions fish >$(DESTDIR)$(FISHDIR)/cutover.fish; \
	fi

activate:
	systemd-sysusers
	systemd-tmpfiles --create $(TMPFILES)/cutover.conf
	systemctl daemon-reload

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/cutover $(UNITS:%=$(DESTDIR)$(UNITDIR)/%)
	rm -f $(DESTDIR)$(SYSUSERS)/cutover.conf $(DESTDIR)$(TMPFILES)/cutover.conf
	rm -f $(DESTDIR)$(MANDIR)/man1/cutover.1 $(DESTDIR)$(BASHDIR)/cutover $(DESTDIR)$(ZSHDIR)/_cutover $(DESTDIR)$(FISHDIR)/cutover.fish
	rm -rf $(DESTDIR)$(DOCDIR)

// A real server that speaks Vault's API, for the tests: the core, the API and the KV and AppRole engines of HashiCorp Vault, of the
// last line under MPL 2.0. It understands the few options of `vault server` and `bao server` that the tests use, so that either of them
// can be put in its place (CUTOVER_TEST_BAO). OpenBao's server would be the first choice, but no 2.x version of its
// module could be resolved when this was written. The storage is memory.
//
// The whole command of this Vault cannot be built from published modules: its PKI and transit engines want a newer SDK than its core
// starts with (the SDK is a directory of Vault's own tree there). The parts below are built against the SDK that fits them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/command/server"
	"github.com/hashicorp/vault/helper/namespace"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
	"github.com/hashicorp/vault/version"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 1 && arguments[0] == "version" {
		fmt.Println(version.GetVersion().FullVersionNumber(false))
		return nil
	}
	if len(arguments) == 0 || arguments[0] != "server" {
		return errors.New("usage: version | server -dev … | server -config=FILE")
	}
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	dev := flags.Bool("dev", false, "unsealed, with KV v2 at secret/")
	address := flags.String("dev-listen-address", "127.0.0.1:8200", "where it listens in dev mode")
	token := flags.String("dev-root-token-id", "root", "the root token in dev mode")
	config := flags.String("config", "", "an HCL file with one tcp listener")
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	listener := &configutil.Listener{Type: "tcp", Address: *address, TLSDisable: true}
	if !*dev {
		file, err := server.LoadConfigFile(*config)
		if err != nil {
			return err
		}
		if len(file.Listeners) != 1 {
			return errors.New("exactly one listener is needed")
		}
		listener = file.Listeners[0]
	}
	core, err := newCore(listener)
	if err != nil {
		return err
	}
	if *dev {
		if err := prepare(core, *token); err != nil {
			return err
		}
	}
	return serve(core, listener)
}

func newCore(listener *configutil.Listener) (*vault.Core, error) {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, err
	}
	return vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		Logger:             logger,
		DisableMlock:       true,
		RedirectAddr:       "http://" + listener.Address,
		BuiltinRegistry:    engines{},
		LogicalBackends:    map[string]logical.Factory{"kv": kv.Factory},
		CredentialBackends: map[string]logical.Factory{"approle": approle.Factory},
	})
}

// prepare does what dev mode does: one unseal key, a root token that is known, KV v2 at secret/.
func prepare(core *vault.Core, token string) error {
	ctx := namespace.RootContext(context.Background())
	seal := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := core.Initialize(ctx, &vault.InitParams{BarrierConfig: seal})
	if err != nil {
		return err
	}
	if _, err := core.Unseal(made.SecretShares[0]); err != nil {
		return err
	}
	ask := func(as, path string, data map[string]interface{}) error {
		reply, err := core.HandleRequest(ctx, &logical.Request{
			Operation: logical.UpdateOperation, ClientToken: as, Path: path, Data: data,
		})
		if err == nil && reply.IsError() {
			err = reply.Error()
		}
		return err
	}
	if err := ask(made.RootToken, "auth/token/create", map[string]interface{}{
		"id": token, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true,
	}); err != nil {
		return err
	}
	if err := ask(token, "sys/mounts/secret", map[string]interface{}{
		"type": "kv", "options": map[string]string{"version": "2"},
	}); err != nil {
		return err
	}
	if home := os.Getenv("HOME"); home != "" {
		return os.WriteFile(filepath.Join(home, ".vault-token"), []byte(token), 0o600)
	}
	return nil
}

func serve(core *vault.Core, listener *configutil.Listener) error {
	socket, err := net.Listen("tcp", listener.Address)
	if err != nil {
		return err
	}
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: listener})
	web := &http.Server{Handler: handler}
	fmt.Println("listening on", socket.Addr())
	if listener.TLSDisable {
		return web.Serve(socket)
	}
	return web.ServeTLS(socket, listener.TLSCertFile, listener.TLSKeyFile)
}

// engines says which engines are part of the server.
type engines struct{}

func (engines) Contains(name string, kind consts.PluginType) bool {
	return name == "kv" && kind == consts.PluginTypeSecrets || name == "approle" && kind == consts.PluginTypeCredential
}

func (e engines) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	factory := map[string]logical.Factory{"kv": kv.Factory, "approle": approle.Factory}[name]
	return func() (interface{}, error) { return factory, nil }, e.Contains(name, kind)
}

func (engines) Keys(kind consts.PluginType) []string {
	return map[consts.PluginType][]string{consts.PluginTypeSecrets: {"kv"}, consts.PluginTypeCredential: {"approle"}}[kind]
}

func (e engines) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, e.Contains(name, kind)
}

func (engines) IsBuiltinEntPlugin(string, consts.PluginType) bool {
	return false
}

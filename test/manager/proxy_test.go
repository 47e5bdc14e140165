// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/registry"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// authority issues certificates.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	pair := a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.certificate, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue signs a certificate. The first certificate is the authority's, and signs
// itself.
func (a *authority) issue(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	assert.NilError(a.t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	assert.NilError(a.t, err)
	leaf, err := x509.ParseCertificate(der)
	assert.NilError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// save writes a certificate, and its key if keyFile is not empty, as PEM.
func (a *authority) save(pair tls.Certificate, file, keyFile string) {
	a.t.Helper()
	assert.NilError(a.t, os.MkdirAll(filepath.Dir(file), 0o755))
	assert.NilError(a.t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600))
	if keyFile != "" {
		der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
		assert.NilError(a.t, err)
		assert.NilError(a.t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	}
}

// proxy connects requests for any name to one server.
type proxy struct {
	to     string // host and port
	refuse bool

	mu    sync.Mutex
	asked []string
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
	p.mu.Unlock()
	if p.refuse {
		http.Error(w, "no", http.StatusProxyAuthRequired)
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	if r.Method == http.MethodConnect {
		_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	} else {
		_ = r.Write(server) // in the form of a request to a server
	}
	go func() {
		_, _ = io.Copy(server, buffered)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// scene is the registry registry.test:5000, which is reached by a proxy only.
type scene struct {
	*authority
	registry *fake.Registry
	server   *httptest.Server
	proxy    *proxy
	certs    string // docker's directory of certificates
	env      []string
}

const proxiedRef = "registry.test:5000/group/plugin:v1"

func newScene(t *testing.T, secure bool, changes ...func(*scene)) *scene {
	t.Helper()
	s := &scene{authority: newAuthority(t), registry: fake.New(), certs: t.TempDir(), proxy: &proxy{}}
	config, err := json.Marshal(plugintest.Config())
	assert.NilError(t, err)
	s.registry.PutPlugin("group/plugin", "v1", config)
	s.server = httptest.NewUnstartedServer(s.registry)
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		s.server.TLS = &tls.Config{
			Certificates: []tls.Certificate{s.issue(&x509.Certificate{DNSNames: []string{"registry.test", "storage.test"}})},
			ClientCAs:    x509.NewCertPool(),
		}
		s.server.TLS.ClientCAs.AddCert(s.certificate)
	}
	for _, change := range changes {
		change(s)
	}
	if secure {
		s.server.StartTLS()
	} else {
		s.server.Start()
	}
	t.Cleanup(s.server.Close)
	s.proxy.to = s.server.Listener.Addr().String()
	proxied := httptest.NewServer(s.proxy)
	t.Cleanup(proxied.Close)
	s.useProxy(proxied.URL)
	return s
}

// useProxy names the proxy in the environment, with an account.
func (s *scene) useProxy(address string) {
	parsed, err := url.Parse(address)
	assert.NilError(s.t, err)
	parsed.User = url.UserPassword("proxy-user", "proxy-secret")
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		s.env = append(s.env, name+"="+parsed.String())
	}
}

// trust installs the authority where docker looks for the authority of host.
func (s *scene) trust(host string) {
	s.save(tls.Certificate{Certificate: [][]byte{s.certificate.Raw}}, filepath.Join(s.certs, host, "ca.crt"), "")
}

// pull pulls the plugin in a new process, because a process reads the environment
// only once.
func (s *scene) pull(insecure ...string) string {
	s.t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), s.env...)
	child.Env = append(child.Env, "NO_PROXY=", "PLUGIN_TEST_PULL="+proxiedRef, "PLUGIN_TEST_CERTS="+s.certs, "PLUGIN_TEST_INSECURE="+strings.Join(insecure, ","))
	output, err := child.CombinedOutput()
	assert.NilError(s.t, err, "%s", output)
	return string(output)
}

// pullAsConfigured pulls a plugin with docker's registry service, and returns the
// result as a text.
func pullAsConfigured(ref string) string {
	registry.SetCertsDir(os.Getenv("PLUGIN_TEST_CERTS"))
	options := registry.ServiceOptions{}
	if insecure := os.Getenv("PLUGIN_TEST_INSECURE"); insecure != "" {
		options.InsecureRegistries = []string{insecure}
	}
	service, err := registry.NewService(options)
	if err != nil {
		return err.Error()
	}
	dir, err := os.MkdirTemp("", "dt")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	pm, err := plugin.NewManager(plugin.ManagerConfig{
		Root: filepath.Join(dir, "root"), ExecRoot: filepath.Join(dir, "exec"), RegistryService: service,
		CreateExecutor: func(*plugin.Manager) (plugin.Executor, error) { return nil, nil },
	})
	if err != nil {
		return err.Error()
	}
	defer pm.Shutdown()
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return err.Error()
	}
	grants, err := pm.Privileges(context.Background(), named, nil, nil)
	if err != nil {
		return err.Error()
	}
	if err := pm.Pull(context.Background(), named, "", nil, nil, grants, nil); err != nil {
		return err.Error()
	}
	return "pulled"
}

func (s *scene) asked() []string {
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(s.proxy.asked)))
}

const proxyAccount = "Basic cHJveHktdXNlcjpwcm94eS1zZWNyZXQ="

// TestCertificatesAndProxies pulls with docker's registry service. Authorities,
// client certificates and proxies are configured as for a daemon.
func TestCertificatesAndProxies(t *testing.T) {
	t.Run("certs.d", func(t *testing.T) {
		s := newScene(t, true)
		s.trust("registry.test:5000")
		s.registry.Inject("GET", "/blobs/", 1, fake.RedirectAs(http.StatusTemporaryRedirect, "https://storage.test:5001"))
		assert.Equal(t, s.pull(), "pulled")
		assert.DeepEqual(t, s.asked(), []string{"CONNECT registry.test:5000 " + proxyAccount, "CONNECT storage.test:5001 " + proxyAccount})
		for _, r := range s.registry.Requests() {
			assert.Equal(t, r.Header.Get("Proxy-Authorization"), "")
		}
	})
	t.Run("redirect out of TLS", func(t *testing.T) {
		s := newScene(t, true)
		s.trust("registry.test:5000")
		s.registry.Inject("GET", "/blobs/", 1, fake.RedirectAs(http.StatusTemporaryRedirect, "http://storage.test:5001"))
		assert.Check(t, is.Contains(s.pull(), "https://registry.test:5000 sends the request to http://storage.test:5001, which is refused"))
		assert.DeepEqual(t, s.asked(), []string{"CONNECT registry.test:5000 " + proxyAccount})
	})
	t.Run("unknown authority", func(t *testing.T) {
		s := newScene(t, true)
		s.trust("registry.test")
		assert.Check(t, is.Contains(s.pull(), "certificate signed by unknown authority"))
		assert.Equal(t, len(s.registry.Requests()), 0)
	})
	t.Run("client certificate", func(t *testing.T) {
		s := newScene(t, true, func(s *scene) { s.server.TLS.ClientAuth = tls.RequireAndVerifyClientCert })
		s.trust("registry.test:5000")
		assert.Check(t, is.Contains(s.pull(), "certificate required"))
		client := s.issue(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		dir := filepath.Join(s.certs, "registry.test:5000")
		s.save(client, filepath.Join(dir, "client.cert"), filepath.Join(dir, "client.key"))
		assert.Equal(t, s.pull(), "pulled")
	})
	t.Run("insecure", func(t *testing.T) {
		s := newScene(t, true)
		assert.Equal(t, s.pull("registry.test:5000"), "pulled")
	})
	t.Run("without TLS", func(t *testing.T) {
		s := newScene(t, false)
		assert.Check(t, is.Contains(s.pull(), "first record does not look like a TLS handshake"))
		assert.Equal(t, s.pull("registry.test:5000"), "pulled")
		assert.Check(t, is.Contains(s.asked(), "HEAD registry.test:5000 "+proxyAccount))
	})
	t.Run("proxy that refuses", func(t *testing.T) {
		s := newScene(t, true, func(s *scene) { s.proxy.refuse = true })
		s.trust("registry.test:5000")
		said := s.pull()
		assert.Check(t, is.Contains(said, "registry.test:5000: Proxy Authentication Required"))
		assert.Check(t, !strings.Contains(said, "proxy-secret"), said)
	})
}

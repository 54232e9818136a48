// Command token is a token server for registries under test: it signs JWTs that distribution 2.8 and 3 accept.
// It prints its address on one line and writes the certificate that the registry trusts to the file named first.
// User and password come from the environment (TOKEN_USER, TOKEN_PASSWORD), so that no process list shows them.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// lifetime is how long a token is good for, in seconds: short, so that long runs see it end.
const lifetime = 60

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

type server struct {
	key            *ecdsa.PrivateKey
	chain          string
	user, password string
}

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: token CERTIFICATE-FILE")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "packmule test token signer"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(os.Args[1], bundle, 0o644); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	s := &server{
		key:      key,
		chain:    base64.StdEncoding.EncodeToString(der),
		user:     os.Getenv("TOKEN_USER"),
		password: os.Getenv("TOKEN_PASSWORD"),
	}
	http.HandleFunc("/token", s.token)
	return http.Serve(listener, nil)
}

func same(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// token answers GET with basic credentials, and POST as OAuth2 (grant_type password or refresh_token, where the
// refresh token is the password). Whoever is known gets every action asked for; nobody else gets anything.
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", "form does not parse")
		return
	}
	user, password, given := r.BasicAuth()
	if r.Method == http.MethodPost && !given {
		user, password = r.PostForm.Get("username"), r.PostForm.Get("password")
		if r.PostForm.Get("grant_type") == "refresh_token" {
			user, password = s.user, r.PostForm.Get("refresh_token")
		}
	}
	if s.password == "" || !same(user, s.user) || !same(password, s.password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "user or password is wrong")
		return
	}
	granted := []access{}
	for _, line := range r.Form["scope"] {
		for _, scope := range strings.Fields(line) {
			kind, rest, ok := strings.Cut(scope, ":")
			cut := strings.LastIndex(rest, ":")
			if !ok || cut < 0 {
				refuse(w, http.StatusBadRequest, "UNSUPPORTED", "scope is not TYPE:NAME:ACTIONS")
				return
			}
			granted = append(granted, access{kind, rest[:cut], strings.Split(rest[cut+1:], ",")})
		}
	}
	signed, err := s.sign(r.Form.Get("service"), granted)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"token": signed, "access_token": signed, "expires_in": lifetime,
		"issued_at": time.Now().UTC().Format(time.RFC3339),
	})
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

// sign makes a compact JWS with ES256, whose signing certificate stands in x5c.
func (s *server) sign(audience string, granted []access) (string, error) {
	now := time.Now().Unix()
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return "", err
	}
	header, err := json.Marshal(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{s.chain}})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": "packmule-test", "sub": s.user, "aud": audience, "iat": now, "nbf": now - 5, "exp": now + lifetime,
		"jti": hex.EncodeToString(id), "access": granted,
	})
	if err != nil {
		return "", err
	}
	raw := base64.RawURLEncoding
	signing := raw.EncodeToString(header) + "." + raw.EncodeToString(claims)
	sum := sha256.Sum256([]byte(signing))
	x, y, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	x.FillBytes(signature[:32])
	y.FillBytes(signature[32:])
	return signing + "." + raw.EncodeToString(signature), nil
}

package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"culvert/ike"
	"culvert/internal/config"
)

// A stateDir holds what outlasts the daemon: the secret of its crash tokens (RFC 6290, Section
// 5.1), and the sequence numbers of manual SAs. While it is open, no other daemon uses it.
type stateDir struct {
	dir    string
	secret []byte
	file   *os.File // keeps the lock
}

// A stateOpener opens a state directory when it is first needed, and again after an error. It is
// safe for concurrent use.
type stateOpener struct {
	dir string

	mu     sync.Mutex
	opened *stateDir
}

func (o *stateOpener) open() (s *stateDir, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.opened == nil {
		if s, err = openState(o.dir); err != nil {
			return nil, err
		}
		o.opened = s
	}
	return o.opened, nil
}

func (o *stateOpener) close() {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.opened.close()
}

const (
	crashSecretFile = "crash-secret"
	crashSecretLen  = 32 // RFC 6290, Section 5.1
)

// openState opens the state directory, and makes what is missing.
func openState(dir string) (*stateDir, error) {
	if err := checkStateDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, crashSecretFile)
	f, err := openSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeSecret(path); err == nil {
			f, err = openSecret(path)
		}
	}
	if err != nil {
		return nil, err
	}
	s, err := readSecret(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	s.dir = dir
	return s, nil
}

// path returns the path of a file of the directory.
func (s *stateDir) path(name string) string { return filepath.Join(s.dir, name) }

// replace writes a file of the directory, with mode 0600, in place of the one that there is.
// Whatever happens to the system meanwhile, the file is the one of before or the new one, and after
// replace the new one.
func (s *stateDir) replace(name string, data []byte) error {
	temp, err := writeTemp(s.path(name), data)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, s.path(name)); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(s.dir)
}

// writeTemp writes data to a new file beside path, with mode 0600, and returns its name when the
// data are on disk.
func writeTemp(path string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// syncDir has the names of a directory on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *stateDir) close() {
	if s != nil {
		s.file.Close()
	}
}

// checkStateDir makes the directory if there is none, and refuses one in which others may replace
// files.
func checkStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 || !ownerTrusted(info) {
		return fmt.Errorf("%s must be writable by this user only, but has mode %04o; run chown and chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	return nil
}

// ownerTrusted reports whether a file belongs to this user or to root.
func ownerTrusted(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
}

// openSecret opens the file of the secret, which must be a regular one.
func openSecret(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// makeSecret makes the file of the secret. It appears whole or not at all, whatever happens to the
// system meanwhile. If another daemon makes it at the same time, the first one stays.
func makeSecret(path string) error {
	secret := make([]byte, crashSecretLen)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	temp, err := writeTemp(path, secret)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// readSecret takes the lock and reads the secret.
func readSecret(f *os.File) (*stateDir, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || !ownerTrusted(info):
		return nil, fmt.Errorf("%s is not a file of this user; remove it", f.Name())
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s must be readable by its owner only, but has mode %04o; remove it, since others may know it", f.Name(), info.Mode().Perm())
	case info.Size() != crashSecretLen:
		return nil, fmt.Errorf("%s has %d octets, not %d; remove it", f.Name(), info.Size(), crashSecretLen)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%s is in use by another daemon (%w); set another directory in [daemon] state", f.Name(), err)
	}
	secret := make([]byte, crashSecretLen)
	if _, err := io.ReadFull(f, secret); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return &stateDir{secret: secret, file: f}, nil
}

// crashTokens returns what the engine needs for crash tokens, and opens the state directory. Where
// that fails, no tokens are given, but those of peers are still taken.
func (p *parts) crashTokens(c *config.Daemon) ike.CrashTokens {
	if c.NoCrashTokens {
		return ike.CrashTokens{Off: true}
	}
	s, err := p.state.open()
	if err != nil {
		p.log.Warn("peers will not know at once when this daemon was killed and restarted: "+err.Error(), "event", "no-crash-tokens", slog.String("state", c.State))
		return ike.CrashTokens{}
	}
	return ike.CrashTokens{Secret: s.secret}
}

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"culvert/internal/readfile"

	"github.com/BurntSushi/toml"
)

// maxFile bounds the size of one file.
const maxFile = 64 << 20

// Load reads the file at path, or all *.toml files if path is a folder, and the files that they
// include. The error is of type Errors and lists everything that is wrong.
func Load(path string) (*Config, error) {
	l := &loader{config: &Config{Daemon: defaultDaemon()}, seen: map[string]bool{}, credentials: newCredentials()}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.fail(path, 0, "%s", readfile.Reason(err))
	case info.IsDir():
		l.folder(path)
	default:
		l.read(path, true)
	}
	l.checkAll()
	if len(l.errs) > 0 {
		return nil, l.errs.sorted(l.config.Files)
	}
	l.notePlaces()
	l.config.Certificates = CertificatesOf(l.config.Peers)
	l.config.place = make(map[string]int, len(l.config.Peers))
	for i := range l.config.Peers {
		l.config.place[l.config.Peers[i].Name] = i
	}
	return l.config, nil
}

// A loader collects the files of one configuration and their errors.
type loader struct {
	config *Config
	errs   Errors
	seen   map[string]bool // files read, by their real path
	daemon string          // the file with the [daemon] table
	top    section         // that table
	bypass []network       // its bypass
	peers  []rawPeer       // in step with config.Peers

	credentials credentials
}

// A rawPeer holds the tables of a peer and its children, for the checks across all peers.
type rawPeer struct {
	section
	children []section
}

// A file is one file of the configuration.
type file struct {
	*loader
	name    string // as the operator named it
	path    string
	mode    fs.FileMode
	lines   lineIndex
	exposed bool // an error has reported that others may read it
}

func (l *loader) fail(name string, line int, format string, args ...any) {
	l.errs = append(l.errs, &Error{File: name, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (f *file) fail(line int, format string, args ...any) {
	f.loader.fail(f.name, line, format, args...)
}

func (f *file) warn(line int, format string, args ...any) {
	f.config.Warnings = append(f.config.Warnings, &Error{File: f.name, Line: line, Text: fmt.Sprintf(format, args...)})
}

// folder reads every *.toml file of a folder; one of them may hold [daemon].
func (l *loader) folder(path string) {
	matches, _ := filepath.Glob(filepath.Join(escapeGlob(path), "*.toml"))
	if len(matches) == 0 {
		l.fail(path, 0, "the folder contains no *.toml file; add one, or name a file")
	}
	for _, m := range matches {
		l.read(m, true)
	}
}

// escapeGlob returns a pattern that matches the name of a folder literally.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// read reads one file. The top ones may hold [daemon] and include others.
func (l *loader) read(path string, top bool) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		if l.seen[real] {
			return
		}
		l.seen[real] = true
	}
	l.config.Files = append(l.config.Files, path)
	doc, mode, err := readfile.Whole(path, maxFile)
	if err != nil {
		l.fail(path, 0, "%s", readfile.Reason(err))
		return
	}
	l.parse(&file{loader: l, name: path, path: path, mode: mode}, doc, top)
}

// parse reads one document into the configuration.
func (l *loader) parse(f *file, doc []byte, top bool) {
	var root map[string]any
	if _, err := toml.Decode(string(doc), &root); err != nil {
		l.syntax(f, err, string(doc))
		return
	}
	f.lines = indexLines(string(doc))
	s := open(f, "", "", root, fileKeys)
	if s.has("daemon") {
		l.readDaemon(s, top)
	}
	for i, values := range s.subtables("peer") {
		l.readPeer(f, fmt.Sprintf("peer[%d]", i), i, values)
	}
}

// syntax reports an error of the TOML library about a document.
func (l *loader) syntax(f *file, err error, doc string) {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		f.fail(0, "%s", err)
		return
	}
	text := strings.TrimSpace(pe.Message)
	if lines := strings.Split(doc, "\n"); pe.Position.Line >= 1 && pe.Position.Line <= len(lines) {
		if remedy := unquoted(strings.TrimSuffix(lines[pe.Position.Line-1], "\r")); remedy != "" {
			text = remedy
		}
	}
	f.fail(pe.Position.Line, "%s", text)
}

// include reads the files of an include glob, in the order of their names.
func (l *loader) include(s section) {
	pattern := s.text("include", "")
	if pattern == "" {
		return
	}
	full := pattern
	if !filepath.IsAbs(pattern) {
		full = filepath.Join(escapeGlob(filepath.Dir(s.file.path)), pattern)
	}
	matches, err := filepath.Glob(full)
	if err != nil {
		s.fail("include", "include = %q is not a valid pattern of file names: %v", pattern, err)
		return
	}
	if len(matches) == 0 && !strings.ContainsAny(pattern, "*?[") {
		s.fail("include", "include: %s: no such file", pattern)
	}
	slices.Sort(matches)
	for _, m := range matches {
		l.read(m, false)
	}
}

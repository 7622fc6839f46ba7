package aesgcm

// fetch begins to load a schedule into the cache.
//
//go:noescape
func fetch(k *schedule)

// Fetch begins to load what a keeps of its key into the cache, and waits for nothing but the
// pointer to it. It does nothing for a cipher that is not in assembly.
func Fetch(a any) {
	if v, ok := a.(*vector); ok {
		fetch(v.k)
	}
}

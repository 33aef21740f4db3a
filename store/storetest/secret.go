package storetest

import (
	"sync"
	"testing"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
)

func runSecret(t *testing.T, open func(t *testing.T) *store.DB) {
	for name, test := range map[string]func(t *testing.T, s secret.Store){
		"DataKeyComesBackAsSaved":        dataKeyComesBackAsSaved,
		"ForeignDataKeyIsNotFound":       foreignDataKeyIsNotFound,
		"OwnerHasOneDataKey":             ownerHasOneDataKey,
		"OneOfManyFirstDataKeysStands":   oneOfManyFirstDataKeysStands,
		"DeletedDataKeyIsGone":           deletedDataKeyIsGone,
		"OnlyTheFirstKeyCheckIsSaved":    onlyTheFirstKeyCheckIsSaved,
		"NoKeyCheckIsFirstAfterDataKeys": noKeyCheckIsFirstAfterDataKeys,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func dataKey(id, owner string) *secret.DataKey {
	return &secret.DataKey{ID: id, Owner: owner, RootKey: "k_1", Wrapped: []byte{0, 1, 0xff}, CreatedAt: noon}
}

func keyCheck(rootKey string) *secret.KeyCheck {
	return &secret.KeyCheck{RootKey: rootKey, Wrapped: []byte{0, 1, 0xff}, CreatedAt: noon}
}

func dataKeyComesBackAsSaved(t *testing.T, s secret.Store) {
	want := dataKey("dek_1", "usr_1")
	got, err := s.AddDataKey(t.Context(), want)
	must(t, err)
	same(t, got, want)
	got, err = s.DataKey(t.Context(), "usr_1")
	must(t, err)
	same(t, got, want)
}

func foreignDataKeyIsNotFound(t *testing.T, s secret.Store) {
	_, err := s.AddDataKey(t.Context(), dataKey("dek_1", "usr_1"))
	must(t, err)
	for _, owner := range []string{"usr_2", "USR_1", "", "dek_1"} {
		_, err := s.DataKey(t.Context(), owner)
		isKind(t, err, fault.NotFound)
	}
}

func ownerHasOneDataKey(t *testing.T, s secret.Store) {
	first := dataKey("dek_1", "usr_1")
	_, err := s.AddDataKey(t.Context(), first)
	must(t, err)
	got, err := s.AddDataKey(t.Context(), dataKey("dek_2", "usr_1"))
	must(t, err)
	same(t, got, first)
}

func oneOfManyFirstDataKeysStands(t *testing.T, s secret.Store) {
	got := make([]*secret.DataKey, 16)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			var err error
			if got[i], err = s.AddDataKey(t.Context(), dataKey(string(rune('a'+i)), "usr_1")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, key := range got {
		same(t, key, got[0])
	}
}

func deletedDataKeyIsGone(t *testing.T, s secret.Store) {
	for _, owner := range []string{"usr_1", "usr_2"} {
		_, err := s.AddDataKey(t.Context(), dataKey("dek_"+owner, owner))
		must(t, err)
	}
	for range 2 {
		must(t, s.DeleteDataKey(t.Context(), "usr_1"))
	}
	_, err := s.DataKey(t.Context(), "usr_1")
	isKind(t, err, fault.NotFound)
	_, err = s.DataKey(t.Context(), "usr_2")
	must(t, err)
}

func onlyTheFirstKeyCheckIsSaved(t *testing.T, s secret.Store) {
	used, err := s.RootKeysInUse(t.Context())
	must(t, err)
	same(t, used, []string{})
	for _, id := range []string{"k_1", "k_2", "k_1"} {
		must(t, s.AddFirstKeyCheck(t.Context(), keyCheck(id)))
	}
	got, err := s.KeyCheck(t.Context(), "k_1")
	must(t, err)
	same(t, got, keyCheck("k_1"))
	_, err = s.KeyCheck(t.Context(), "k_2")
	isKind(t, err, fault.NotFound)
	used, err = s.RootKeysInUse(t.Context())
	must(t, err)
	same(t, used, []string{"k_1"})
}

func noKeyCheckIsFirstAfterDataKeys(t *testing.T, s secret.Store) {
	_, err := s.AddDataKey(t.Context(), dataKey("dek_1", "usr_1"))
	must(t, err)
	must(t, s.AddFirstKeyCheck(t.Context(), keyCheck("k_2")))
	_, err = s.KeyCheck(t.Context(), "k_2")
	isKind(t, err, fault.NotFound)
	used, err := s.RootKeysInUse(t.Context())
	must(t, err)
	same(t, used, []string{"k_1"})
}

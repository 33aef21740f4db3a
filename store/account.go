package store

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
)

var _ account.Store = (*DB)(nil)

const userColumns = `id, kind, username, email, app_user_id, organization_id, password_hash, app_org_id, name, created_at`

// userFields are the columns of u, to write and to scan.
func userFields(u *account.User) []any {
	return []any{
		&u.ID, &u.Kind, optional(&u.Username), optional(&u.Email), optional(&u.AppUserID), optional(&u.Organization),
		revealed(&u.PasswordHash), optional(&u.AppOrgID), optional(&u.Name), micros(&u.CreatedAt),
	}
}

func scanUser(row Row) (*account.User, error) {
	u := new(account.User)
	return u, row.Scan(userFields(u)...)
}

func insertUser(tx *Tx, u *account.User) error {
	_, err := tx.Exec(`INSERT INTO users (`+userColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, userFields(u)...)
	return err
}

func (db *DB) CreateUser(ctx context.Context, token *account.Token, users ...*account.User) error {
	err := db.Write(ctx, func(tx *Tx) error {
		for _, u := range users {
			if err := insertUser(tx, u); err != nil {
				return err
			}
		}
		if token == nil {
			return nil
		}
		return addToken(tx, token)
	})
	return at("store.CreateUser", err, says{fault.Conflict: "a user with this name or id exists already"})
}

func (db *DB) EnsureAppUsers(ctx context.Context, individual, organization *account.User) (i, o *account.User, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		if organization != nil {
			if o, err = ensureUser(tx, organization, userByAppOrgID, organization.AppOrgID); err != nil {
				return err
			}
		}
		if individual == nil {
			return nil
		}
		if i, err = ensureUser(tx, individual, userByAppUserID, individual.AppUserID); err != nil || o == nil || i.Organization != "" {
			return err
		}
		i.Organization = o.ID
		return tx.ExecOne(`UPDATE users SET organization_id = $1 WHERE id = $2`, o.ID, i.ID)
	})
	if err != nil {
		return nil, nil, at("store.EnsureAppUsers", err, says{fault.Conflict: "a user with this name exists already"})
	}
	return i, o, nil
}

// ensureUser returns the user that find finds by key, after saving u if there was none.
func ensureUser(tx *Tx, u *account.User, find, key string) (*account.User, error) {
	found, err := One(tx, scanUser, find, key)
	if !fault.Is(err, fault.NotFound) {
		return found, err
	}
	return u, insertUser(tx, u)
}

func (db *DB) DeleteUser(ctx context.Context, id account.ID) error {
	err := db.Write(ctx, func(tx *Tx) error {
		for _, text := range []string{`DELETE FROM webhook_endpoints WHERE owner = $1`, `DELETE FROM facts WHERE owner = $1`, `DELETE FROM jobs WHERE owner = $1`} {
			if _, err := tx.Exec(text, id); err != nil {
				return err
			}
		}
		return tx.ExecOne(`DELETE FROM users WHERE id = $1`, id)
	})
	return at("store.DeleteUser", err, says{
		fault.NotFound: "no such user",
		fault.Conflict: "something still belongs to this user; remove that first",
	})
}

const (
	selectUser      = `SELECT ` + userColumns + ` FROM users `
	userByID        = selectUser + `WHERE id = $1`
	userByUsername  = selectUser + `WHERE username = $1`
	userByAppUserID = selectUser + `WHERE app_user_id = $1`
	userByAppOrgID  = selectUser + `WHERE app_org_id = $1`
)

var noSuchUser = says{fault.NotFound: "no such user"}

func (db *DB) UserByID(ctx context.Context, id account.ID) (*account.User, error) {
	u, err := One(db.reader(ctx), scanUser, userByID, id)
	return u, at("store.UserByID", err, noSuchUser)
}

func (db *DB) UserByUsername(ctx context.Context, username string) (*account.User, error) {
	u, err := One(db.reader(ctx), scanUser, userByUsername, username)
	return u, at("store.UserByUsername", err, noSuchUser)
}

func (db *DB) UserByAppUserID(ctx context.Context, appUserID string) (*account.User, error) {
	u, err := One(db.reader(ctx), scanUser, userByAppUserID, appUserID)
	return u, at("store.UserByAppUserID", err, noSuchUser)
}

func (db *DB) UserByAppOrgID(ctx context.Context, appOrgID string) (*account.User, error) {
	u, err := One(db.reader(ctx), scanUser, userByAppOrgID, appOrgID)
	return u, at("store.UserByAppOrgID", err, noSuchUser)
}

func (db *DB) LoggedIn(ctx context.Context, token *account.Token, upgrade account.HashUpgrade) error {
	err := db.Write(ctx, func(tx *Tx) error {
		if !upgrade.To.IsZero() {
			_, err := tx.Exec(`UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3`,
				upgrade.To.Reveal(), token.User, upgrade.From.Reveal())
			if err != nil {
				return err
			}
		}
		return addToken(tx, token)
	})
	return at("store.LoggedIn", err, nil)
}

func addToken(tx *Tx, t *account.Token) error {
	_, err := tx.Exec(`INSERT INTO tokens (hash, user_id, issued_at, expires_at) VALUES ($1, $2, $3, $4)`,
		t.Hash[:], t.User, micros(&t.IssuedAt), micros(&t.ExpiresAt))
	return err
}

// bearer is a token and whose it is.
type bearer struct {
	token account.Token
	user  account.User
}

func (db *DB) TokenByHash(ctx context.Context, hash account.TokenHash) (*account.Token, *account.User, error) {
	b, err := cached(ctx, db, cacheKey{read: "token", id: string(hash[:])}, func() (bearer, error) {
		b := bearer{token: account.Token{Hash: hash}}
		fields := append([]any{&b.token.User, micros(&b.token.IssuedAt), micros(&b.token.ExpiresAt)}, userFields(&b.user)...)
		_, err := One(db.reader(ctx), func(row Row) (any, error) { return nil, row.Scan(fields...) },
			`SELECT user_id, issued_at, expires_at, `+userColumns+` FROM tokens JOIN users ON id = user_id WHERE hash = $1`, hash[:])
		return b, err
	})
	if err != nil {
		return nil, nil, at("store.TokenByHash", err, says{fault.NotFound: "no such token"})
	}
	return &b.token, &b.user, nil
}

func (db *DB) DeleteToken(ctx context.Context, hash account.TokenHash) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM tokens WHERE hash = $1`, hash[:])
		return err
	})
	return at("store.DeleteToken", err, nil)
}

func (db *DB) DeleteTokens(ctx context.Context, user account.ID) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM tokens WHERE user_id = $1`, user)
		return err
	})
	return at("store.DeleteTokens", err, nil)
}

func (db *DB) DeleteExpiredTokens(ctx context.Context, now time.Time, limit int) (n int, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		n, err = tx.Exec(`DELETE FROM tokens WHERE hash IN (SELECT hash FROM tokens WHERE expires_at <= $1 LIMIT $2)`, micros(&now), limit)
		return err
	})
	return n, at("store.DeleteExpiredTokens", err, nil)
}

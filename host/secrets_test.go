package host_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/secret"
)

// ordeal leads planted secrets along every path of a host.
type ordeal struct {
	*rig
	*haystack
	dump  *dump
	late  atomic.Int64 // how far the clock is ahead
	ada   *client
	basic struct{ user, password string }
	// what was made of it
	oauth, key, plain connection.EntityID
	flow              integration.ID
	typed             string   // webhook secret
	files             [][]byte // of runs, unpacked
	backend           string
	health            string
}

// Every secret is used on its path, past vendors and guests that repeat all they get, and then looked for in all places where it
// could have been left.
func TestSecrets_PlantedIsFoundNowhere(t *testing.T) {
	t.Parallel()
	o := &ordeal{haystack: newHaystack(), dump: newDump()}
	o.backend, o.health = o.plant("backend key"), o.plant("health key")
	newRig(t, plugins(t, ""), func(r *rig) {
		o.rig = r
		r.vendor.clientSecret, r.vendor.mint = o.plant("client secret"), o.plant
		r.config.BackendKey, r.config.HealthKey = secret.NewText(o.backend), secret.NewText(o.health)
		r.config.Accounts.CreateAppUsers = true
		r.config.AfterCall = o.dump.take
		r.config.Now = func() time.Time { return time.Now().Add(time.Duration(o.late.Load())) }
	})
	o.users()
	o.authorise()
	o.integrate()
	o.actions()
	o.renewals()
	o.webhooks()
	o.deadLetters()
	o.refusals()
	o.exports()
	o.restart()
	o.removals()
	o.stop()
	o.provesUse()
	o.lookEverywhere()
}

// secretAnswer sends a request whose answer brings a token, and keeps it out of the answers that are searched.
func (o *ordeal) secretAnswer(c *client, path string, body any) string {
	o.t.Helper()
	status, answer := c.do(http.MethodPost, path, body)
	var out struct{ Token string }
	must(o.t, json.Unmarshal(answer, &out))
	if status != http.StatusCreated || out.Token == "" {
		o.t.Fatalf("%s: %d %s", path, status, answer)
	}
	o.answers = o.answers[:len(o.answers)-1]
	o.add("a login token", out.Token)
	return out.Token
}

func (o *ordeal) users() {
	password := o.plant("password")
	o.ada = &client{rig: o.rig, name: "ada", header: http.Header{}}
	login := map[string]string{"username": "ada", "password": password}
	o.secretAnswer(o.ada, "/user/create", login)
	token := o.secretAnswer(o.ada, "/user/login", login)
	o.ada.header.Set("Authorization", "Bearer "+token)
	actor, err := o.host.Accounts.Authenticate(context.Background(), secret.NewText(token))
	must(o.t, err)
	o.ada.actor = actor

	stranger := &client{rig: o.rig, header: http.Header{}}
	stranger.mustDo(http.StatusUnauthorized, http.MethodPost, "/user/login", map[string]string{"username": "ada", "password": o.plant("wrong password")}, nil)
	stranger.mustDo(http.StatusConflict, http.MethodPost, "/user/create", login, nil)
	stranger.mustDo(http.StatusBadRequest, http.MethodPost, "/user/create", map[string]any{"username": "bob", "password": []string{password}}, nil)
	stranger.mustDo(http.StatusBadRequest, http.MethodPost, "/user/create", []byte(`{"username":"bob","password":`+password), nil)

	stranger.header = http.Header{"X-Frigg-Api-Key": {o.backend}, "X-Frigg-Appuserid": {"app-1"}}
	stranger.mustDo(http.StatusOK, http.MethodGet, "/api/integrations", nil, nil)
	stranger.header.Set("X-Frigg-Api-Key", o.backend+"x")
	stranger.mustDo(http.StatusUnauthorized, http.MethodGet, "/api/integrations", nil, nil)
	stranger.header = http.Header{"X-Api-Key": {o.health}}
	stranger.mustDo(http.StatusOK, http.MethodGet, "/health/detailed", nil, nil)
	stranger.header.Set("X-Api-Key", o.plant("wrong health key"))
	stranger.mustDo(http.StatusUnauthorized, http.MethodGet, "/health/detailed", nil, nil)
	stranger.header = http.Header{"Authorization": {"Bearer " + o.plant("wrong token")}}
	stranger.mustDo(http.StatusUnauthorized, http.MethodGet, "/api/integrations", nil, nil)
}

// begin begins an authorisation and returns what the vendor sends back after a yes.
func (o *ordeal) begin() map[string]any {
	o.t.Helper()
	var need struct{ URL string }
	o.ada.mustDo(http.StatusOK, http.MethodGet, "/api/authorize?entityType=probe", nil, &need)
	return o.vendor.consent(o.t, need.URL)
}

func (o *ordeal) finish(want int, module string, data map[string]any) connection.EntityID {
	o.t.Helper()
	var done struct {
		Entity connection.EntityID `json:"entity_id"`
	}
	o.ada.mustDo(want, http.MethodPost, "/api/authorize", map[string]any{"entityType": module, "data": data}, &done)
	return done.Entity
}

func (o *ordeal) authorise() {
	for _, refusal := range []string{"invalid_grant", "invalid_client", "weird"} {
		o.vendor.setRefuse(refusal)
		want := http.StatusBadRequest
		if refusal == "invalid_client" {
			want = http.StatusServiceUnavailable
		}
		for range 10 {
			o.finish(want, "probe", o.begin())
		}
	}
	o.vendor.setRefuse("")
	callback := o.begin()
	state := callback["state"]
	callback["state"] = "another"
	o.finish(http.StatusBadRequest, "probe", callback)
	callback["state"] = state
	o.oauth = o.finish(http.StatusOK, "probe", callback)
	o.finish(http.StatusBadRequest, "probe", callback) // the code again

	key := o.plant("API key")
	o.vendor.mu.Lock()
	o.vendor.keys[key] = true
	o.vendor.mu.Unlock()
	o.finish(http.StatusBadRequest, "probe-key", map[string]any{"key": o.plant("wrong API key")})
	o.finish(http.StatusBadRequest, "probe-key", map[string]any{"key": []string{key}})
	o.finish(http.StatusBadRequest, "probe-key", map[string]any{"key": mark})
	o.key = o.finish(http.StatusOK, "probe-key", map[string]any{"key": key, "account": control})

	o.basic.user, o.basic.password = "ada@example.com", o.plant("basic password")
	o.vendor.mu.Lock()
	o.vendor.logins[o.basic.user] = o.basic.password
	o.vendor.mu.Unlock()
	o.finish(http.StatusBadRequest, "probe-basic", map[string]any{"username": o.basic.user, "password": o.plant("wrong basic password")})
	o.plain = o.finish(http.StatusOK, "probe-basic", map[string]any{"username": o.basic.user, "password": o.basic.password})
	for _, e := range []connection.EntityID{o.oauth, o.key, o.plain} {
		o.ada.mustDo(http.StatusOK, http.MethodGet, "/api/entities/"+string(e)+"/test-auth", nil, nil)
		o.ada.mustDo(http.StatusOK, http.MethodGet, "/api/entities/"+string(e), nil, nil)
	}
}

func (o *ordeal) integrate() {
	o.typed = o.plant("typed webhook secret")
	config := map[string]any{"passphrase": o.plant("passphrase"), "typed_webhook_secret": o.typed, "note": control}
	o.flow = o.ada.integrate(config, o.oauth, o.key, o.plain)
	path := "/api/integrations/" + string(o.flow)
	o.ada.mustDo(http.StatusBadRequest, http.MethodPatch, path, map[string]any{"config": map[string]any{"passphrase": []string{o.plant("malformed passphrase")}}}, nil)
	o.ada.mustDo(http.StatusOK, http.MethodPatch, path, map[string]any{"config": map[string]any{"passphrase": o.plant("passphrase")}}, nil)
	o.ada.mustDo(http.StatusOK, http.MethodPatch, path, map[string]any{"config": map[string]any{"passphrase": "[secret]"}}, nil)
	o.ada.mustDo(http.StatusOK, http.MethodGet, path, nil, nil)
	o.ada.mustDo(http.StatusOK, http.MethodGet, path+"/config/options", nil, nil)
	o.ada.mustDo(http.StatusOK, http.MethodGet, path+"/test-auth", nil, nil)
}

// act wants a status of an action.
func (o *ordeal) act(want int, steps ...step) string {
	o.t.Helper()
	status, answer := o.ada.act(o.flow, steps...)
	if status != want {
		o.t.Fatalf("action: %d, want %d: %s\n%s", status, want, answer, o.log)
	}
	return answer
}

func (o *ordeal) actions() {
	for _, role := range []string{"oauth", "key", "basic"} {
		var echoes []step
		for _, status := range []string{"200", "400", "404", "409", "422", "429", "500", "503"} {
			echo := step{"do": "send", "role": role, "method": "POST", "url": "/echo?status=" + status, "body": map[string]string{"text": control}}
			echoes = append(echoes, maps.Clone(echo), echo)
			echoes[len(echoes)-2]["any"] = true
			echo["may"] = true
		}
		echoes = append(echoes, step{"do": "send", "role": role, "url": "/redirect?to=/echo"}, step{"do": "tell", "text": control})
		o.act(http.StatusOK, echoes...)
		o.act(http.StatusOK, step{"do": "call", "role": role, "method": "do", "body": order(append(echoes, step{"do": "told"}, step{"do": "print", "text": control})...)})
		for _, last := range []step{{"do": "fail", "method": "internal"}, {"do": "fail", "method": "invalid"}, {"do": "panic", "text": control}} {
			o.act(failed(last), append(slices.Clone(echoes), last)...)
			o.act(failed(last), step{"do": "call", "role": role, "method": "do", "body": order(append(slices.Clone(echoes), last)...)})
		}
		o.act(http.StatusOK, step{"do": "passphrase", "role": role, "url": "/echo"}, step{"do": "tell", "text": control}, step{"do": "told"})
		o.act(http.StatusBadRequest, step{"do": "passphrase", "role": role, "url": "/echo?status=400"})
	}
	o.act(http.StatusOK, step{"do": "endpoint", "role": "key", "text": "made", "url": "/hooks"}, step{"do": "endpoint", "role": "key", "text": "typed", "url": "/hooks"},
		step{"do": "tell", "text": control})
	o.act(http.StatusForbidden, step{"do": "send", "role": "key", "url": "http://127.0.0.2:1/"})
}

func failed(last step) int {
	if last["method"] == "invalid" {
		return http.StatusBadRequest
	}
	return http.StatusBadGateway
}

func (o *ordeal) renewals() {
	ask := step{"do": "send", "role": "oauth", "url": "/echo"}
	o.vendor.expire(false)
	o.act(http.StatusOK, ask) // refused, renewed, and sent again
	o.late.Add(int64(61 * time.Second))
	for _, refusal := range []string{"weird", "invalid_client"} {
		o.late.Add(int64(31 * time.Second))
		o.vendor.expire(false)
		o.vendor.setRefuse(refusal)
		if status, answer := o.ada.act(o.flow, ask); status < 400 {
			o.t.Fatalf("a token was renewed in spite of %s: %s", refusal, answer)
		}
		o.vendor.setRefuse("")
		o.late.Add(int64(time.Minute))
		o.oauth = o.finish(http.StatusOK, "probe", o.begin())
	}
	o.late.Add(int64(time.Minute))
	o.vendor.expire(true)
	o.act(http.StatusBadRequest, ask)
	o.act(http.StatusBadRequest, ask)
	o.ada.mustDo(http.StatusBadRequest, http.MethodGet, "/api/entities/"+string(o.oauth)+"/test-auth", nil, nil)
	o.oauth = o.finish(http.StatusOK, "probe", o.begin())
	o.act(http.StatusOK, ask)
}

// madeSecret is the webhook secret that the host made and the guest gave to the vendor.
func (o *ordeal) madeSecret() string {
	o.t.Helper()
	for _, s := range o.vendor.log("/hooks") {
		var hook struct{ URL, Secret string }
		must(o.t, json.Unmarshal([]byte(s.Body), &hook))
		if strings.HasSuffix(hook.URL, "/made") {
			return hook.Secret
		}
	}
	o.t.Fatal("the vendor got no webhook secret")
	return ""
}

// post sends a webhook as the vendor does, or with a signature of its own.
func (o *ordeal) post(want int, webhook, key, delivery string, steps ...step) {
	o.t.Helper()
	body, err := json.Marshal(order(steps...))
	must(o.t, err)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	vendor := &client{rig: o.rig, header: http.Header{
		"X-Signature": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}, "X-Event": {"told"},
		"X-Delivery": {delivery}, "Authorization": {"Bearer " + o.plant("webhook header")}, "Cookie": {"session=" + o.plant("webhook header")},
		"X-Vendor-Token": {o.plant("webhook header")},
	}}
	vendor.mustDo(want, http.MethodPost, "/api/flow-integration/webhooks/"+string(o.flow)+"/"+webhook+"?from="+control, body, nil)
}

func (o *ordeal) webhooks() {
	made := o.madeSecret()
	o.add("made webhook secret", made)
	tell := []step{{"do": "send", "role": "key", "url": "/echo"}, {"do": "passphrase", "role": "basic", "url": "/echo"}, {"do": "tell", "text": control}}
	for name, key := range map[string]string{"typed": o.typed, "made": made} {
		o.post(http.StatusOK, name, key, "good", tell...)
		o.post(http.StatusOK, name, key, "good", tell...)
		o.post(http.StatusUnauthorized, name, o.plant("wrong webhook secret"), "bad", tell...)
		o.post(http.StatusOK, name, key, "halts", append(tell, step{"do": "fail", "method": "invalid", "text": control})...)
	}
	o.settles(job.Halted, 2)
}

// settles waits until nothing is due and so many jobs are in a state.
func (o *ordeal) settles(state job.State, n int) {
	o.t.Helper()
	o.await(string(state)+" jobs", func() bool {
		jobs, err := o.host.Jobs.Jobs(context.Background(), o.ada.actor, []job.State{state}, "", 200)
		must(o.t, err)
		return len(jobs) == n
	})
}

// deadLetters lets a job fail until it is given up, and replays it once.
func (o *ordeal) deadLetters() {
	fail := []step{{"do": "send", "role": "key", "url": "/echo"}, {"do": "fail", "method": "unavailable", "text": control}}
	o.post(http.StatusOK, "typed", o.typed, "dies", fail...)
	for try := 1; ; try++ {
		var last *job.Job
		o.await("a try ends", func() bool {
			jobs, err := o.host.Jobs.Jobs(context.Background(), o.ada.actor, []job.State{job.Queued, job.Dead}, "", 200)
			must(o.t, err)
			for _, j := range jobs {
				if j.LastError != "" && j.Attempt >= try {
					last = j
				}
			}
			return last != nil
		})
		if last.State == job.Dead {
			break
		}
		o.late.Add(int64(2 * time.Hour))
		enabled := abi.StatusEnabled // any change wakes the workers
		_, err := o.host.Integrations.Update(context.Background(), o.ada.actor, o.flow, integration.Change{Status: &enabled})
		must(o.t, err)
	}
	token := o.secretAnswer(o.ada, "/user/login", map[string]string{"username": "ada", "password": o.of("password")[0]})
	o.ada.header.Set("Authorization", "Bearer "+token) // the old one ended meanwhile
	var dead struct{ Jobs []struct{ ID job.ID } }
	o.ada.mustDo(http.StatusOK, http.MethodGet, "/api/jobs?state=dead", nil, &dead)
	o.ada.mustDo(http.StatusAccepted, http.MethodPost, "/api/jobs/"+string(dead.Jobs[0].ID)+"/replay", nil, nil)
}

// refusals are answers of the API to requests that are wrong, with secrets in them.
func (o *ordeal) refusals() {
	text := o.plant("misplaced secret")
	path := "/api/integrations/" + string(o.flow)
	for _, body := range []any{[]byte(text), []byte(`{"config":` + text), map[string]any{"config": text}, map[string]any{"status": text}, map[string]any{"entities": text}} {
		status, answer := o.ada.do(http.MethodPatch, path, body)
		if status != http.StatusBadRequest {
			o.t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	for _, path := range []string{"/api/jobs?state=" + url.QueryEscape(text), "/api/jobs?limit=" + url.QueryEscape(text), "/api/authorize?entityType=nothing&x=" + url.QueryEscape(text)} {
		o.ada.mustDo(http.StatusBadRequest, http.MethodGet, path, nil, nil)
	}
	o.ada.mustDo(http.StatusBadRequest, http.MethodPost, "/api/authorize", map[string]any{"entityType": "probe", "data": map[string]string{"code": text, "state": text}}, nil)
	for _, path := range []string{"/api/integrations", "/api/jobs", path, path + "/actions", "/api/demo/sample/" + string(o.flow), "/redirect/probe?code=" + url.QueryEscape(text)} {
		o.ada.mustDo(http.StatusOK, http.MethodGet, path, nil, nil)
	}
}

// restart stops the host and starts it again: only the right root key opens what is there.
// exports takes every run away in a file.
func (o *ordeal) exports() {
	var list struct{ Runs []struct{ ID job.ID } }
	o.ada.mustDo(http.StatusOK, http.MethodGet, "/api/v2/runs?limit=200", nil, &list)
	for _, r := range list.Runs {
		o.ada.mustDo(http.StatusOK, http.MethodGet, "/api/v2/runs/"+string(r.ID), nil, nil)
		f, err := o.host.Runs.Export(context.Background(), o.ada.actor, r.ID, false)
		must(o.t, err)
		var packed bytes.Buffer
		must(o.t, f.Write(&packed))
		in, err := gzip.NewReader(&packed)
		must(o.t, err)
		plain, err := io.ReadAll(in)
		must(o.t, err)
		o.files = append(o.files, plain)
	}
	all := bytes.Join(o.files, nil)
	if len(o.files) < 5 || !bytes.Contains(all, []byte(control)) || !bytes.Contains(all, []byte("frigg_secret_")) {
		o.t.Errorf("there is nothing in the files of %d runs", len(o.files))
	}
}

func (o *ordeal) restart() {
	o.stop()
	o.start()
	o.ada.rig = o.rig
	o.act(http.StatusOK, step{"do": "send", "role": "oauth", "url": "/echo"}, step{"do": "send", "role": "key", "url": "/echo"}, step{"do": "tell", "text": control})
}

// removals end what was made; another record stays.
func (o *ordeal) removals() {
	kept := o.ada.integrate(map[string]any{"note": control}, o.key)
	o.ada.mustDo(http.StatusCreated, http.MethodDelete, "/api/integrations/"+string(o.flow), nil, nil)
	o.await("the record is gone", func() bool {
		status, _ := o.ada.do(http.MethodDelete, "/api/entities/"+string(o.oauth), nil)
		return status == http.StatusCreated
	})
	o.ada.mustDo(http.StatusCreated, http.MethodDelete, "/api/entities/"+string(o.plain), nil, nil)
	o.flow = kept
	o.act(http.StatusOK, step{"do": "tell", "text": control})
}

// provesUse fails unless every secret went its way.
func (o *ordeal) provesUse() {
	o.t.Helper()
	key, err := os.ReadFile(o.config.DataDir + ".key")
	must(o.t, err)
	text := strings.TrimSpace(string(key))
	raw, err := base64.StdEncoding.DecodeString(text)
	must(o.t, err)
	o.add("the root key", text)
	o.add("the root key", string(raw))
	at := func(kind string, has func(s *seen, text string) bool) {
		o.t.Helper()
		for _, text := range o.of(kind) {
			for _, s := range o.vendor.log("") {
				if has(s, text) {
					return
				}
			}
		}
		o.t.Errorf("%s: no request carried it (%d of them)", kind, len(o.of(kind)))
	}
	form := func(name string) func(*seen, string) bool {
		return func(s *seen, text string) bool {
			q, _ := url.ParseQuery(s.Body)
			return s.Path == "/oauth/token" && q.Get(name) == text
		}
	}
	at("code", form("code"))
	at("refresh", form("refresh_token"))
	at("access", func(s *seen, text string) bool {
		return s.Path == "/echo" && s.Header.Get("Authorization") == "Bearer "+text
	})
	at("client secret", func(s *seen, text string) bool {
		basic := base64.StdEncoding.EncodeToString([]byte(o.vendor.clientID + ":" + url.QueryEscape(text)))
		return s.Path == "/oauth/token" && s.Header.Get("Authorization") == "Basic "+basic
	})
	at("API key", func(s *seen, text string) bool {
		return s.Path == "/echo" && s.Header.Get("X-Key") == text && s.Query.Get("key") == text
	})
	at("basic password", func(s *seen, text string) bool {
		return s.Path == "/echo" && s.Header.Get("Authorization") == "Basic "+base64.StdEncoding.EncodeToString([]byte(o.basic.user+":"+text))
	})
	at("passphrase", func(s *seen, text string) bool { return s.Path == "/echo" && s.Header.Get("X-Passphrase") == text })
	at("typed webhook secret", func(s *seen, text string) bool {
		quoted, _ := json.Marshal(text)
		return s.Path == "/hooks" && strings.Contains(s.Body, string(quoted[len(quoted)-20:]))
	})
	for _, s := range o.vendor.log("/oauth/token") {
		q, _ := url.ParseQuery(s.Body)
		if v := q.Get("code_verifier"); v != "" {
			o.add("PKCE verifier", v)
		}
	}
	if len(o.of("PKCE verifier")) == 0 {
		o.t.Error("the vendor got no PKCE verifier")
	}
	if n := len(o.vendor.log("/oauth/revoke")); n == 0 {
		o.t.Error("no token was taken back")
	}
}

func (o *ordeal) lookEverywhere() {
	t := o.t
	t.Helper()
	for _, plugin := range []string{"probe", "probe-key", "probe-basic", "flow"} {
		if o.dump.calls[plugin] < 4 {
			t.Errorf("%s was called %d times", plugin, o.dump.calls[plugin])
		}
	}
	o.search(t, "guest memory", o.dump.all()...)
	o.search(t, "log", []byte(o.log.String()))
	var answers [][]byte
	for _, a := range o.answers {
		answers = append(answers, []byte(a))
	}
	o.search(t, "answers of the API", answers...)
	o.search(t, "files of runs", o.files...)
	db := openFile(t, o.config.DataDir)
	var rows [][]byte
	for _, table := range tables(t, db) {
		text := []byte(contents(t, db, table))
		rows = append(rows, text)
		if table == "jobs" && !bytes.Contains(text, []byte(control)) {
			t.Error("there is nothing in the rows of jobs")
		}
	}
	must(t, db.Close())
	o.search(t, "rows of the database", rows...)
	var inFiles [][]byte
	must(t, filepath.WalkDir(filepath.Dir(o.config.DataDir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == o.config.DataDir+".key" {
			return err
		}
		b, err := os.ReadFile(path)
		inFiles = append(inFiles, b)
		return err
	}))
	o.search(t, "files", inFiles...)
}

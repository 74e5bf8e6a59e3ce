package chart

import (
	"reflect"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
)

// TestPodsLiveAndDieWell: no pod goes before another one came, the grace covers the
// drain, and no restart depends on a database that outlives its pod.
func TestPodsLiveAndDieWell(t *testing.T) {
	eachScenario(t, func(t *testing.T, r release) {
		for _, o := range r.objects {
			if o.Kind != "Deployment" || o.file == "tryout/redis.yaml" {
				continue
			}
			d := decodeAs[*appsv1.Deployment](t, o)
			if roll := d.Spec.Strategy.RollingUpdate; roll.MaxUnavailable.IntValue() != 0 || roll.MaxSurge.String() == "0" {
				t.Errorf("%s: %v", o, d.Spec.Strategy)
			}
			spec := d.Spec.Template.Spec
			c := spec.Containers[0]
			drain := duration(t, arg(c, "--drain-delay")) + duration(t, arg(c, "--drain-timeout"))
			if grace := time.Duration(*spec.TerminationGracePeriodSeconds) * time.Second; grace < drain+10*time.Second {
				t.Errorf("%s: killed after %v, and needs %v and a moment", o, grace, drain)
			}
			if d.Spec.MinReadySeconds < 5 {
				t.Errorf("%s: the next pod goes after %d s, before this one was found", o, d.Spec.MinReadySeconds)
			}
			live := "/livez"
			if o.Metadata.Name == "rbcs-balance" && slices.Contains(c.Args, "--migrate") {
				live = "/readyz" // see TestTryoutStartsAgain
			}
			for probe, path := range map[*corev1.Probe]string{c.StartupProbe: "/livez", c.LivenessProbe: live, c.ReadinessProbe: "/readyz"} {
				if probe.HTTPGet.Path != path || probe.HTTPGet.Port.String() != c.Ports[0].Name {
					t.Errorf("%s: probes %s", o, probe.HTTPGet.Path)
				}
			}
		}
	})
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestMigrationComesFirst: the Job, its account and its network policy are hooks before
// install and upgrade, and the Job is the last of them.
func TestMigrationComesFirst(t *testing.T) {
	r, err := render(load(t), valuesOf(t, scenarios["all"]...))
	if err != nil {
		t.Fatal(err)
	}
	o := r.find(t, "Job", "ledger-migration")
	job := decodeAs[*batchv1.Job](t, o)
	account := r.find(t, "ServiceAccount", job.Spec.Template.Spec.ServiceAccountName)
	policy := r.find(t, "NetworkPolicy", "ledger-migration")
	for _, hook := range []object{o, account, policy} {
		if hook.Metadata.Annotations["helm.sh/hook"] != "pre-install,pre-upgrade" {
			t.Errorf("%s: %v", hook, hook.Metadata.Annotations)
		}
	}
	for _, before := range []object{account, policy} {
		if before.Metadata.Annotations["helm.sh/hook-weight"] != "-10" || o.Metadata.Annotations["helm.sh/hook-weight"] != "0" {
			t.Errorf("%s does not come before the Job", before)
		}
		if before.Metadata.Annotations["helm.sh/hook-delete-policy"] != "before-hook-creation,hook-succeeded" {
			t.Errorf("%s would be left behind: uninstalling does not delete what hooks made", before)
		}
	}
	if rules := decodeAs[*networking.NetworkPolicy](t, policy).Spec; len(rules.Ingress) > 0 || len(rules.PolicyTypes) != 2 ||
		!reflect.DeepEqual(rules.Egress, decodeAs[*networking.NetworkPolicy](t, r.find(t, "NetworkPolicy", "ledger-balance")).Spec.Egress) {
		t.Errorf("%s: %+v", policy, rules)
	}
	if account.Metadata.Annotations["example.com/identity"] != "money" {
		t.Error("the Job has no identity in the cloud")
	}
	if got := env(job.Spec.Template.Spec.Containers[0], "RBCS_STORE").Value; got != "postgres://owner@db.example.com/rbcs" {
		t.Errorf("it migrates %s", got)
	}
	if got := job.Spec.Template.Spec.Volumes[0].Secret.SecretName; got != "rbcs-owner" {
		t.Errorf("with the password of %s", got)
	}
}

// TestMigrationTakesTheServicesDatabase where it has none of its own; with the
// database of the try-out, which no hook could wait for, the pods migrate.
func TestMigrationTakesTheServicesDatabase(t *testing.T) {
	r, err := render(load(t), valuesOf(t, scenarios["minimal"]...))
	if err != nil {
		t.Fatal(err)
	}
	job := decodeAs[*batchv1.Job](t, r.find(t, "Job", "rbcs-migration"))
	if from := env(job.Spec.Template.Spec.Containers[0], "RBCS_STORE").ValueFrom.SecretKeyRef; from.Name != "rbcs-store" || from.Key != "store" {
		t.Errorf("it migrates %v", from)
	}
	if r, err = render(load(t), valuesOf(t, scenarios["tryout"]...)); err != nil {
		t.Fatal(err)
	}
	migrates := false
	for _, a := range podOf(decode(t, r.find(t, "Deployment", "rbcs-balance"))).Spec.Containers[0].Args {
		migrates = migrates || a == "--migrate"
	}
	if !migrates {
		t.Error("nobody migrates the database of the try-out")
	}
	for _, o := range r.objects {
		if o.Kind == "Job" {
			t.Errorf("%s waits for a database that comes after it", o)
		}
	}
}

// TestTryoutStartsAgain: where the database is lost with its pod, the instances are
// restarted, since only who starts migrates the empty one that follows. A volume
// outlives the pod, and not the release.
func TestTryoutStartsAgain(t *testing.T) {
	for storage, live := range map[string]string{"": "/readyz", "1Gi": "/livez"} {
		values := valuesOf(t, scenarios["tryout"]...)
		values["tryout"].(map[string]any)["postgresql"].(map[string]any)["storage"] = storage
		r, err := render(load(t), values)
		if err != nil {
			t.Fatal(err)
		}
		balance := decodeAs[*appsv1.Deployment](t, r.find(t, "Deployment", "rbcs-balance")).Spec.Template.Spec.Containers[0]
		if got := balance.LivenessProbe.HTTPGet.Path; got != live {
			t.Errorf("storage %q: the instances live by %s", storage, got)
		}
		set := decodeAs[*appsv1.StatefulSet](t, r.find(t, "StatefulSet", "rbcs-tryout-postgresql")).Spec
		if (len(set.VolumeClaimTemplates) > 0) != (storage != "") {
			t.Errorf("storage %q: %d volumes", storage, len(set.VolumeClaimTemplates))
		}
		if kept := set.PersistentVolumeClaimRetentionPolicy; storage != "" && (kept == nil || kept.WhenDeleted != appsv1.DeletePersistentVolumeClaimRetentionPolicyType) {
			t.Errorf("storage %q: uninstalling leaves the volume: %v", storage, kept)
		}
	}
}

// TestWithoutAGateway the Service leads to the instances.
func TestWithoutAGateway(t *testing.T) {
	r, err := render(load(t), valuesOf(t, scenarios["nogateway"]...))
	if err != nil {
		t.Fatal(err)
	}
	if got := decodeAs[*corev1.Service](t, r.find(t, "Service", "rbcs")).Spec.Selector["app.kubernetes.io/component"]; got != "balance" {
		t.Errorf("the Service leads to %s", got)
	}
	for _, o := range r.objects {
		if o.Metadata.Name == "rbcs-gateway" {
			t.Errorf("there is a %s", o)
		}
	}
	if got := *decodeAs[*appsv1.Deployment](t, r.find(t, "Deployment", "rbcs-balance")).Spec.Replicas; got != 2 {
		t.Errorf("%d replicas", got)
	}
}

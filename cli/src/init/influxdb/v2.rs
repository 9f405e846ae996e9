//! InfluxDB 2.x: setup, organization, buckets, what lets InfluxQL find them, and a token for each purpose.

use serde_json::{Value, json};

use super::{
    super::report::{Outcome, Report},
    Database, Plan,
    retention::Retention,
    secrets::{self, Secret},
    server::{Answer, Login, Server},
};
use crate::failure::Failure;

/// What the tokens are called in InfluxDB's own list.
const BRIDGE: &str = "gaugeline bridge (write)";
const GRAFANA: &str = "gaugeline grafana (read)";
/// The retention policy that InfluxQL finds a bucket under.
const POLICY: &str = "autogen";

/// A bucket that is there.
struct Bucket {
    id: String,
    name: String,
}

/// The password of the first user and the token with all rights: they are given to the server, not by it.
pub(super) fn administrator(report: &mut Report) -> Result<(Secret, Secret), Failure> {
    let token = secrets::random(report, secrets::ADMIN_TOKEN, "")?;
    Ok((secrets::random(report, secrets::ADMIN_PASSWORD, "")?, token))
}

/// Everything, from a server that nobody has used yet on.
pub(super) async fn prepare(server: &Server, plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let answer = server.get("api/v2/setup", &[], Login::None).await?;
    let is_unused = match answer.json().get("allowed").and_then(Value::as_bool) {
        Some(allowed) if answer.status == 200 => allowed,
        _ => return Err(refused(server, "to say whether it is set up", &answer)),
    };
    let token = match is_unused {
        true => set_up(server, plan, report).await?,
        false => existing_token(server, report)?,
    };
    let session = Session { server, login: Login::Token(&token.text) };
    let organization = session.organization(plan, &token, report).await?;
    let mut buckets = Vec::new();
    for database in &plan.databases {
        let bucket = session.bucket(&organization, database, report).await?;
        session.mapping(&organization, &bucket, report).await?;
        buckets.push(bucket);
    }
    let purposes = [(secrets::BRIDGE_TOKEN, BRIDGE, "write"), (secrets::GRAFANA_TOKEN, GRAFANA, "read")];
    for (file, description, action) in purposes {
        match secrets::find(report, file)? {
            Some(token) => session.check_token(plan, &token, action).await?,
            None => {
                session.warn_of_others(&organization, description, report).await?;
                let made = session.authorize(&organization, &buckets, description, action).await?;
                secrets::store(report, file, &format!("{made}\n"))?;
                report.prepared(Outcome::Created, format!("token `{description}`"));
            }
        }
    }
    Ok(())
}

/// The server's first user, organization, bucket and token.
async fn set_up(server: &Server, plan: &Plan, report: &mut Report) -> Result<Secret, Failure> {
    let (password, token) = administrator(report)?;
    let telemetry = plan.databases.first();
    let body = json!({
        "username": plan.admin,
        "password": password.text,
        "org": plan.organization,
        "bucket": telemetry.map(|database| database.name.as_str()),
        "retentionPeriodSeconds": telemetry.map(|database| database.retention.seconds()),
        "token": token.text,
    });
    let answer = server.post("api/v2/setup", &body, Login::None).await?;
    if answer.status != 201 {
        return Err(refused(server, "to be set up", &answer));
    }
    report.prepared(Outcome::Created, format!("setup with the user `{}`", plan.admin));
    Ok(token)
}

/// The server is in use: somebody has its token.
fn existing_token(server: &Server, report: &mut Report) -> Result<Secret, Failure> {
    secrets::find(report, secrets::ADMIN_TOKEN)?.ok_or_else(|| {
        Failure::configuration(format!(
            "InfluxDB at {} was set up before, and {} is missing: write a token with all rights to that file (its web \
             page makes one under Load Data, API Tokens, and so does `influx auth create --all-access`) and run this \
             again",
            server.address(),
            report.directory().join(secrets::ADMIN_TOKEN).display()
        ))
    })
}

/// A server and a token with all rights.
struct Session<'a> {
    server: &'a Server,
    login: Login<'a>,
}

impl Session<'_> {
    /// The organization's id.
    async fn organization(
        &self,
        plan: &Plan,
        token: &Secret,
        report: &mut Report,
    ) -> Result<String, Failure> {
        let what = format!("organization `{}`", plan.organization);
        let answer = self.server.get("api/v2/orgs", &[("org", &plan.organization)], self.login).await?;
        if answer.status == 401 {
            return Err(secrets::refused(
                token.file,
                "a token with all rights",
                "write one to this file and run this again. Was the server's data deleted? Then delete the files \
                 secrets/influxdb-*-token too",
            ));
        }
        let found = answer.json().pointer("/orgs/0/id").and_then(Value::as_str).map(str::to_owned);
        match (answer.status, found) {
            (200, Some(id)) => {
                report.prepared(Outcome::Kept, what);
                Ok(id)
            }
            (200 | 404, None) => {
                let body = json!({ "name": plan.organization });
                let made = self.make("api/v2/orgs", &body, &format!("to create the {what}")).await?;
                report.prepared(Outcome::Created, what);
                self.id(&made, "/id")
            }
            _ => Err(refused(self.server, &format!("to look for the {what}"), &answer)),
        }
    }

    async fn bucket(
        &self,
        organization: &str,
        database: &Database,
        report: &mut Report,
    ) -> Result<Bucket, Failure> {
        let what = format!("bucket `{}`", database.name);
        let parameters = [("orgID", organization), ("name", &database.name)];
        let answer = self.server.get("api/v2/buckets", &parameters, self.login).await?;
        let json = answer.json();
        match (answer.status, json.pointer("/buckets/0")) {
            (200, Some(found)) => {
                check_retention(found, database, &what, report);
                report.prepared(Outcome::Kept, what);
                Ok(Bucket { id: self.id(found, "/id")?, name: database.name.clone() })
            }
            (200 | 404, None) => {
                let rules = match database.retention.seconds() {
                    0 => json!([]),
                    seconds => json!([{ "type": "expire", "everySeconds": seconds }]),
                };
                let body = json!({ "orgID": organization, "name": database.name, "retentionRules": rules });
                let made = self.make("api/v2/buckets", &body, &format!("to create the {what}")).await?;
                let words = format!("{what}, which keeps points {}", database.retention);
                report.prepared(Outcome::Created, words);
                Ok(Bucket { id: self.id(&made, "/id")?, name: database.name.clone() })
            }
            _ => Err(refused(self.server, &format!("to look for the {what}"), &answer)),
        }
    }

    /// The database under which InfluxQL finds the bucket. 2.4 and later have one for each bucket by themselves.
    async fn mapping(&self, organization: &str, bucket: &Bucket, report: &mut Report) -> Result<(), Failure> {
        let what = format!("database `{}` for InfluxQL", bucket.name);
        let parameters = [("orgID", organization), ("db", &bucket.name)];
        let answer = self.server.get("api/v2/dbrps", &parameters, self.login).await?;
        if answer.status != 200 {
            return Err(refused(self.server, &format!("to look for the {what}"), &answer));
        }
        let json = answer.json();
        let mappings = json.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let default =
            mappings.iter().find(|found| found.get("default").and_then(Value::as_bool) == Some(true));
        let target = default.and_then(|found| found.get("bucketID")).and_then(Value::as_str);
        match target {
            Some(id) if id == bucket.id => report.prepared(Outcome::Kept, what),
            Some(other) => report.warn(format!(
                "the {what} is mapped to another bucket ({other}) and is left so: Grafana will read that one"
            )),
            None => {
                let body = json!({
                    "orgID": organization,
                    "bucketID": bucket.id,
                    "database": bucket.name,
                    "retention_policy": POLICY,
                    "default": true,
                });
                self.make("api/v2/dbrps", &body, &format!("to map the {what}")).await?;
                report.prepared(Outcome::Created, what);
            }
        }
        Ok(())
    }

    /// Tokens of that name may be in use, so they are not for `init` to revoke.
    async fn warn_of_others(
        &self,
        organization: &str,
        description: &str,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let answer = self.server.get("api/v2/authorizations", &[("orgID", organization)], self.login).await?;
        let json = answer.json();
        let known = json.get("authorizations").and_then(Value::as_array).filter(|_| answer.status == 200);
        let known = known.ok_or_else(|| refused(self.server, "to list the tokens", &answer))?;
        let field = |found: &Value, name: &str| found.get(name).and_then(Value::as_str).map(str::to_owned);
        for other in known.iter().filter(|found| field(found, "description").as_deref() == Some(description))
        {
            report.warn(format!(
                "a token `{description}` was made before and is still valid; if nobody uses it, delete it with `influx auth \
                 delete --id {}`",
                field(other, "id").unwrap_or_else(|| "ID".to_owned())
            ));
        }
        Ok(())
    }

    /// A new token that may do this with these buckets and nothing else.
    async fn authorize(
        &self,
        organization: &str,
        buckets: &[Bucket],
        description: &str,
        action: &str,
    ) -> Result<String, Failure> {
        let permission = |bucket: &Bucket| {
            json!({
                "action": action,
                "resource": { "type": "buckets", "id": bucket.id, "orgID": organization },
            })
        };
        let body = json!({
            "orgID": organization,
            "description": description,
            "permissions": buckets.iter().map(permission).collect::<Vec<_>>(),
        });
        let purpose = format!("to make the token `{description}`");
        let made = self.make("api/v2/authorizations", &body, &purpose).await?;
        self.id(&made, "/token")
    }

    /// Tries a token where it would be used, without writing anything.
    async fn check_token(&self, plan: &Plan, token: &Secret, action: &str) -> Result<(), Failure> {
        for database in &plan.databases {
            let login = Login::Token(&token.text);
            let answer = match action {
                "write" => {
                    let parameters = [
                        ("org", plan.organization.as_str()),
                        ("bucket", &database.name),
                        ("precision", "ns"),
                    ];
                    let comment = ("text/plain; charset=utf-8", "# nothing to write\n".to_owned());
                    self.server.post_text("api/v2/write", &parameters, comment, login).await?
                }
                _ => {
                    let parameters = [("db", database.name.as_str())];
                    self.server.influxql(&parameters, "SHOW MEASUREMENTS LIMIT 1", login).await?
                }
            };
            if matches!(answer.status, 401 | 403) {
                return Err(secrets::refused(
                    token.file,
                    &format!("a token that may {action} the bucket `{}` ({})", database.name, answer.words()),
                    "delete this file and run this again, which makes a new token",
                ));
            }
        }
        Ok(())
    }

    /// POST of something that is not there yet.
    async fn make(&self, path: &str, body: &Value, purpose: &str) -> Result<Value, Failure> {
        let answer = self.server.post(path, body, self.login).await?;
        match answer.status {
            201 => Ok(answer.json()),
            _ => Err(refused(self.server, purpose, &answer)),
        }
    }

    /// A text that every answer of this kind has.
    fn id(&self, found: &Value, pointer: &str) -> Result<String, Failure> {
        found.pointer(pointer).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
            Failure::failed(format!(
                "InfluxDB at {} sent an answer without {pointer}: is it InfluxDB 2?",
                self.server.address()
            ))
        })
    }
}

/// A shorter retention would delete, so it is not for `init` to change.
fn check_retention(bucket: &Value, database: &Database, what: &str, report: &mut Report) {
    let rules = bucket.get("retentionRules").and_then(Value::as_array);
    let seconds = rules.into_iter().flatten().find_map(|rule| rule.get("everySeconds")?.as_u64());
    let found = Retention::from_seconds(seconds.unwrap_or(0));
    if found != database.retention {
        report.warn(format!(
            "the {what} keeps points {found}, not {}, and is left so. To change it: influx bucket update --id {} \
             --retention {}",
            database.retention,
            bucket.get("id").and_then(Value::as_str).unwrap_or("ID"),
            database.retention.duration().unwrap_or_else(|| "0".to_owned()),
        ));
    }
}

fn refused(server: &Server, purpose: &str, answer: &Answer) -> Failure {
    Failure::failed(format!("InfluxDB at {} refuses {purpose}: {}", server.address(), answer.words()))
}

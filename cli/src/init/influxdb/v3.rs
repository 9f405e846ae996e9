//! InfluxDB 3 Core: databases with a retention, and named tokens, which all have all rights.

use serde_json::{Value, json};

use super::{
    super::report::{Outcome, Report},
    Database, Plan,
    secrets::{self, Secret},
    server::{Answer, Login, Server},
};
use crate::{failure::Failure, random};

/// What the tokens are called in InfluxDB's own list.
const BRIDGE: &str = "gaugeline-bridge";
const GRAFANA: &str = "gaugeline-grafana";
/// Every token of InfluxDB 3 begins so.
const TOKEN_PREFIX: &str = "apiv3_";

/// The token with all rights, and the file that gives it to the server when it starts for the first time.
pub(super) fn administrator(report: &mut Report) -> Result<Secret, Failure> {
    let token = secrets::random(report, secrets::ADMIN_TOKEN, TOKEN_PREFIX)?;
    let offline = json!({ "token": token.text, "name": "_admin" });
    secrets::store(report, secrets::ADMIN_TOKEN_JSON, &format!("{offline}\n"))?;
    Ok(token)
}

/// Administrator, databases, tokens. False if the server asks nobody for a token.
pub(super) async fn prepare(server: &Server, plan: &Plan, report: &mut Report) -> Result<bool, Failure> {
    let token = match secrets::find(report, secrets::ADMIN_TOKEN)? {
        Some(token) => Some(token),
        None => claim(server, report).await?,
    };
    let Some(token) = token else {
        report.warn(format!(
            "InfluxDB at {} asks nobody for a token: whoever reaches it can read and delete everything. To change that, \
             start it without --without-auth and run this again",
            server.address()
        ));
        Session { server, login: Login::None }.databases(plan, report).await?;
        return Ok(false);
    };
    let session = Session { server, login: Login::Bearer(&token.text) };
    session.check_administrator(&token).await?;
    session.databases(plan, report).await?;
    let mut made_one = false;
    for (file, name) in [(secrets::BRIDGE_TOKEN, BRIDGE), (secrets::GRAFANA_TOKEN, GRAFANA)] {
        match secrets::find(report, file)? {
            Some(token) => session.check_token(&token).await?,
            None => {
                let (name, made) = session.named_token(name, report).await?;
                secrets::store(report, file, &format!("{made}\n"))?;
                report.prepared(Outcome::Created, format!("token `{name}`"));
                made_one = true;
            }
        }
    }
    if made_one {
        report.warn(
            "InfluxDB 3 Core has tokens with all rights only: whoever reads the bridge's or Grafana's token can read and \
             delete everything. Keep both from people, and the server from other networks"
                .to_owned(),
        );
    }
    Ok(true)
}

/// The first token of a server that nobody has used yet. `None`: it wants none.
async fn claim(server: &Server, report: &mut Report) -> Result<Option<Secret>, Failure> {
    let answer = server.post("api/v3/configure/token/admin", &Value::Null, Login::None).await?;
    let made = answer.json().get("token").and_then(Value::as_str).map(str::to_owned);
    match (answer.status, made) {
        (200 | 201, Some(made)) => {
            let token = secrets::store(report, secrets::ADMIN_TOKEN, &format!("{made}\n"))?;
            report.prepared(Outcome::Created, "token `_admin`".to_owned());
            Ok(Some(token))
        }
        (401 | 403 | 409, _) => Err(Failure::configuration(format!(
            "InfluxDB at {} has an administrator's token, and {} is missing: write that token to this file and run this \
             again",
            server.address(),
            report.directory().join(secrets::ADMIN_TOKEN).display()
        ))),
        // Without authentication there are no tokens.
        (404 | 405, _) => Ok(None),
        _ => Err(refused(server, "to make an administrator's token", &answer)),
    }
}

/// A server and a token with all rights, or none for a server that asks for none.
struct Session<'a> {
    server: &'a Server,
    login: Login<'a>,
}

impl Session<'_> {
    async fn list(&self, login: Login<'_>) -> Result<Answer, Failure> {
        self.server.get("api/v3/configure/database", &[("format", "json")], login).await
    }

    async fn check_administrator(&self, token: &Secret) -> Result<(), Failure> {
        let answer = self.list(self.login).await?;
        if !matches!(answer.status, 401 | 403) {
            return Ok(());
        }
        Err(secrets::refused(
            token.file,
            "an administrator's token",
            "write the server's own to this file and run this again; or start a new server with \
             INFLUXDB3_ADMIN_TOKEN_FILE=secrets/influxdb-admin-token.json, which makes this one its own",
        ))
    }

    async fn databases(&self, plan: &Plan, report: &mut Report) -> Result<(), Failure> {
        let answer = self.list(self.login).await?;
        let json = answer.json();
        let known = json.as_array().filter(|_| answer.status == 200);
        let known = known.ok_or_else(|| refused(self.server, "to list the databases", &answer))?;
        for database in &plan.databases {
            let name = |found: &Value| found.get("iox::database")?.as_str().map(str::to_owned);
            if known.iter().any(|found| name(found).as_deref() == Some(&database.name)) {
                // The list does not say how long a database keeps its points.
                let words = format!("database `{}`, and how long it keeps points", database.name);
                report.prepared(Outcome::Kept, words);
            } else {
                self.database(database, report).await?;
            }
        }
        Ok(())
    }

    async fn database(&self, database: &Database, report: &mut Report) -> Result<(), Failure> {
        let mut body = json!({ "db": database.name });
        if let (Some(body), Some(duration)) = (body.as_object_mut(), database.retention.duration()) {
            body.insert("retention_period".to_owned(), duration.into());
        }
        let what = format!("database `{}`", database.name);
        let answer = self.server.post("api/v3/configure/database", &body, self.login).await?;
        match answer.status {
            200 | 201 => {
                let words = format!("{what}, which keeps points {}", database.retention);
                report.prepared(Outcome::Created, words);
            }
            // The bridge was faster: a database is made by the first write, too.
            409 => report.prepared(Outcome::Kept, what),
            _ => return Err(refused(self.server, &format!("to create the {what}"), &answer)),
        }
        Ok(())
    }

    async fn check_token(&self, token: &Secret) -> Result<(), Failure> {
        let answer = self.list(Login::Bearer(&token.text)).await?;
        if !matches!(answer.status, 401 | 403) {
            return Ok(());
        }
        let remedy = "delete this file and run this again, which makes a new token";
        Err(secrets::refused(token.file, "a token", remedy))
    }

    /// A new token; its name, and itself. If the name is taken, its owner may be at work: it is left alone.
    async fn named_token(&self, wanted: &str, report: &mut Report) -> Result<(String, String), Failure> {
        let other = format!("{wanted}-{}", hex::encode(random::bytes::<4>()?));
        for name in [wanted, &other] {
            let body = json!({ "token_name": name });
            let answer = self.server.post("api/v3/configure/token/named_admin", &body, self.login).await?;
            let made = answer.json().get("token").and_then(Value::as_str).map(str::to_owned);
            match (answer.status, made) {
                (200 | 201, Some(made)) => return Ok((name.to_owned(), made)),
                (409, _) if name == wanted => report.warn(format!(
                    "a token `{wanted}` was made before and is still valid; if nobody uses it, revoke it with `influxdb3 \
                     delete token --token-name {wanted}`"
                )),
                _ => return Err(refused(self.server, &format!("to make the token `{name}`"), &answer)),
            }
        }
        Err(Failure::failed(format!("InfluxDB at {} makes no token `{other}`", self.server.address())))
    }
}

fn refused(server: &Server, purpose: &str, answer: &Answer) -> Failure {
    Failure::failed(format!("InfluxDB at {} refuses {purpose}: {}", server.address(), answer.words()))
}

//! `assay token`: API tokens. The secret is shown once and only its hash kept.

use clap::Subcommand;

use super::{Context, Failure, table};
use crate::app::open_store;
use crate::domain::clock::{Clock as _, SystemClock};
use crate::domain::digest::Digest;
use crate::domain::role::Role;

#[derive(Subcommand)]
pub enum Token {
    /// Make a token and print its secret, this once
    Create {
        /// Name, to revoke it by
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
    },
    /// List tokens
    List,
    /// Revoke a token
    Revoke {
        /// Its name
        name: String,
    },
}

pub async fn run(context: Context, command: Token) -> Result<(), Failure> {
    let store = open_store(&context.config.data_dir)?;
    match command {
        Token::Create { name, role } => {
            let secret = secret();
            let hash = Digest::of(secret.as_bytes());
            store.token_insert(name.clone(), role, hash, SystemClock.now()).await?;
            let made = serde_json::json!({"name": name, "role": role, "token": secret});
            context.print(&made, |_| println!("{secret}"))
        }
        Token::List => {
            let tokens = store.token_list().await?;
            context.print(&tokens, |tokens| {
                let mut table = table::table(&["name", "role", "created"]);
                for token in tokens {
                    table.add_row([
                        token.name.clone(),
                        token.role.as_str().to_owned(),
                        token.created_at.to_string(),
                    ]);
                }
                println!("{table}");
            })
        }
        Token::Revoke { name } => {
            store.token_revoke(name.clone(), SystemClock.now()).await?;
            context.print(&name, |name| println!("{name} is revoked"))
        }
    }
}

/// 256 random bits; a hash of them needs no salt and no stretching.
fn secret() -> String {
    let random: [u8; 32] = rand::random();
    random.iter().fold("assay_".to_owned(), |mut text, byte| {
        use std::fmt::Write as _;
        write!(text, "{byte:02x}").expect("writing to a string never fails");
        text
    })
}
